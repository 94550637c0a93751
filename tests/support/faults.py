"""A chat-completions server on loopback that fails in the ways that real ones do."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from wire import completion

_STEP = 0.05  # seconds between two bytes of a slow answer


class FaultServer:
    """Fail in one way at every request; count the requests.

    Args:
        fault: a key of ``FAULTS``; None to answer.
        seconds: to wait before each answer.
    """

    def __init__(self, fault: str | None = None, seconds: float = 0.0) -> None:
        server = self
        self.fault, self.seconds = fault, seconds
        self.requests = 0
        self.at_once = self.most_at_once = 0
        self.over = threading.Event()
        self._lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.requests += 1
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                try:
                    with suppress(OSError):  # who asked gave up
                        server.answer(self, body)
                finally:
                    with server._lock:
                        server.at_once -= 1

            def log_message(self, format, *args):
                """Keep the test's output clean."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        if self.fault == "refused":
            self._server.server_close()  # nobody listens at the address
        return self

    def __exit__(self, *error) -> None:
        self.over.set()  # whoever hangs may go
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        self.over.wait(self.seconds)
        whole = completion(body["model"], bool(body.get("logprobs")))
        if self.fault is None:
            send(handler, 200, json.dumps(whole).encode())
        else:
            FAULTS[self.fault](self, handler, whole)


def send(handler, status: int, content: bytes, length: int | None = None, headers=()) -> None:
    handler.send_response(status)
    for name, value in ({"Content-Type": "application/json"} | dict(headers)).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)


def _hang(server: FaultServer, handler, whole) -> None:
    server.over.wait()


def _hang_after_headers(server: FaultServer, handler, whole) -> None:
    send(handler, 200, b"", length=500)
    server.over.wait()


def _drip(server: FaultServer, handler, whole) -> None:
    content = json.dumps(whole).encode()
    send(handler, 200, b"", length=len(content))
    for at in range(len(content)):
        if server.over.wait(_STEP):
            return
        handler.wfile.write(content[at : at + 1])
        handler.wfile.flush()


def _close_midway(server: FaultServer, handler, whole) -> None:
    content = json.dumps(whole).encode()
    send(handler, 200, content[:40], length=len(content))
    handler.connection.shutdown(socket.SHUT_RDWR)


def _error(status: int, content: bytes | None = None, headers=()) -> Callable[..., None]:
    said = json.dumps({"error": {"message": "out of order", "type": "fault"}}).encode()

    def answer(server: FaultServer, handler, whole) -> None:
        send(handler, status, said if content is None else content, headers=headers)

    return answer


def _changed(change: Callable[[dict[str, Any]], Any]) -> Callable[..., None]:
    def answer(server: FaultServer, handler, whole) -> None:
        changed = change(whole)
        send(handler, 200, changed if isinstance(changed, bytes) else json.dumps(changed).encode())

    return answer


def _logprob(value: float) -> Callable[[dict[str, Any]], Any]:
    def change(whole: dict[str, Any]) -> dict[str, Any]:
        token = whole["choices"][0]["logprobs"]["content"][1]
        token["logprob"] = value
        for alternative in token["top_logprobs"]:
            alternative["logprob"] = value
        return whole

    return change


def _content(text: str) -> Callable[[dict[str, Any]], Any]:
    def change(whole: dict[str, Any]) -> dict[str, Any]:
        whole["choices"][0]["message"]["content"] = text
        whole["choices"][0]["logprobs"] = None
        return whole

    return change


# Name of a fault to what the server does; "refused" has no server, "hang" never answers.
FAULTS: dict[str, Callable[..., None]] = {
    "refused": _hang,
    "hang": _hang,
    "hang after headers": _hang_after_headers,
    "slow drip": _drip,
    "closes mid-response": _close_midway,
    "429, Retry-After 1": _error(429, headers={"Retry-After": "1"}),
    "429, Retry-After 20": _error(429, headers={"Retry-After": "20"}),
    "500": _error(500),
    "503, HTML": _error(503, b"<html><h1>Service Unavailable</h1>", {"Content-Type": "text/html"}),
    "401": _error(401),
    "truncated JSON": _changed(lambda whole: json.dumps(whole).encode()[:120]),
    "no choices": _changed(lambda whole: whole | {"choices": []}),
    "no slot in the answer": _changed(_content('{"agent": "Refunds"}')),
    "log-probability NaN": _changed(_logprob(float("nan"))),
    "probability above 1": _changed(_logprob(2.0)),
}


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Return whether a condition came true in time."""
    end = time.monotonic() + seconds
    while not (met := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return met
