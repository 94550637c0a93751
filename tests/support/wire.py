"""A chat-completions server on loopback that answers like a provider with log-probabilities."""

import json
import math
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

POLL = 0.01  # seconds within which a server notices that its test is over
ANSWER = {"A": 0.1, "B": 0.7, "C": 0.15, "Z": 0.05}


class _OnLoopback:
    """A server that runs in a thread while a test is inside of it."""

    _server: ThreadingHTTPServer
    _thread: Thread

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Provider(_OnLoopback):
    """Serve one answer; keep what was asked.

    Args:
        logprobs: whether log-probabilities come back.
        status: HTTP status of every answer.
        answers: slots to answer in turn; always B where there are none.
        whole: what to answer instead: JSON, bytes, or a function that makes it from the headers
            and the request.
    """

    def __init__(
        self, logprobs: bool = True, status: int = 200, answers=(), whole: Any = ...
    ) -> None:
        provider = self
        self.requests: list[dict] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.requests.append(body)
                provider.paths.append(self.path)
                provider.keys.append(self.headers.get("Authorization"))
                slot = answers[(len(provider.requests) - 1) % len(answers)] if answers else "B"
                if self.path == "/v1/systemone":
                    answer = decision(body["questions"]["slot"]["criteria"])
                elif "probabilities" in json.dumps(body.get("response_format", {})):
                    answer = weighed(body["model"])
                else:
                    answer = completion(
                        body["model"], logprobs and bool(body.get("logprobs")), slot
                    )
                if status != 200:
                    answer = {"error": {"message": "out of order", "type": "server_error"}}
                if whole is not ...:
                    answer = whole(self.headers, body) if callable(whole) else whole
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format, *args):
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.address}/v1"
        self._thread = Thread(target=self._server.serve_forever, args=(POLL,), daemon=True)


def decision(criteria) -> dict:
    """Return what a System One backend says of a choice."""
    probabilities = {slot: ANSWER.get(slot, 0.0) for slot in criteria}
    answer = {"type": "choice", "choice": "B", "confidence": 0.7, "probabilities": probabilities}
    usage = {"input_tokens": 100, "output_tokens": 3}
    return {"model": "decider", "usage": usage, "answers": {"slot": answer}}


def weighed(model: str) -> dict:
    """Return a chat completion that writes a probability for every slot."""
    slots = "ABCDEFGHIJKLMOPQRSTZ"
    said = {"probabilities": {s: ANSWER.get(s, 0.0) for s in slots}, "confidence": 0.7}
    answer = completion(model, logprobs=False)
    answer["choices"][0]["message"]["content"] = json.dumps({"slot": said})
    return answer


def completion(model: str, logprobs: bool, slot: str = "B") -> dict:
    """Return a chat completion of one slot."""
    top = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in ANSWER.items()]
    content = [
        {"token": '{"slot": "', "logprob": -0.01, "bytes": None, "top_logprobs": []},
        {"token": "B", "logprob": math.log(0.7), "bytes": None, "top_logprobs": top},
        {"token": '"}', "logprob": -0.01, "bytes": None, "top_logprobs": []},
    ]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": f'{{"slot": "{slot}"}}'},
        "logprobs": {"content": content} if logprobs else None,
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 3, "total_tokens": 103}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


class EmbeddingProvider(_OnLoopback):
    """Serve embeddings of two dimensions on loopback, or a refusal that repeats key and texts.

    Args:
        status: HTTP status of every answer.
        seconds: to wait before each answer.
        short: by how many vectors every answer is.
    """

    def __init__(self, status: int = 200, seconds: float = 0.0, short: int = 0) -> None:
        self.status, self.seconds, self.short = status, seconds, short
        self.texts: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = Thread(target=self._server.serve_forever, args=(POLL,), daemon=True)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.texts += body["input"]
                time.sleep(provider.seconds)
                rows = [
                    {"object": "embedding", "index": index, "embedding": [1.0, float(len(text))]}
                    for index, text in enumerate(body["input"])
                ]
                usage = {"prompt_tokens": 1, "total_tokens": 1}
                answer = {"object": "list", "model": body["model"], "usage": usage}
                answer["data"] = rows[: len(rows) - provider.short]
                if provider.status != 200:
                    echo = f"refused {self.headers['Authorization']} and {body['input']}"
                    answer = {"error": {"message": echo, "type": "refused"}}
                content = json.dumps(answer).encode()
                self.send_response(provider.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):  # who asked gave up
                    self.wfile.write(content)

            def log_message(self, format, *args):
                """Keep the test's output clean."""

        return Handler
