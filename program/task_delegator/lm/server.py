"""Start, watch and stop the llama.cpp server of the embedded LM.

The server gets a random key per start, so that no other process on the machine can use it. It
needs a POSIX system; importing this module does not.
"""

import atexit
import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import dspy

from .._compat import (
    AccessPolicy,
    ModelSupport,
    OpenAIChatCompat,
    ProviderDefinition,
    register_provider,
)
from ..errors import LMError, LMSpecError
from ..system import Lock
from .requantize import at_eight_bits
from .specs import CALL_SECONDS, EMBEDDED_CONTEXT, EMBEDDED_PROVIDER
from .weights import SMOLLM2_SHA256, Weights, digest

_START_SECONDS = 60.0
_SILENT = f"no answer within {_START_SECONDS:.0f} s"
_TOP_LOGPROBS = 500  # taken before the grammar's mask: other tokens fill the top


class EmbeddedServer:
    """A llama.cpp server in a child process on a free loopback port.

    Args:
        files: the model to serve.
        threads: compute threads, at most one for each processor that this process may use:
            more wait for each other.
        prompt_cache: reuse the shared prefix of prompts; faster, but the
            log-probabilities of the same prompt then differ by up to 0.1.

    Attributes:
        lm: the LM that asks this server.

    Raises:
        LMError: the server is not installed, the file is unusable or it does not start.
    """

    def __init__(self, files: Weights, threads: int = 2, prompt_cache: bool = True) -> None:
        if find_spec("xllamacpp") is None:
            raise LMSpecError("lm embedded: xllamacpp is not installed; run pip install xllamacpp")
        if find_spec("fcntl") is None:
            raise LMError(
                "lm embedded: needs Linux or macOS (no fcntl here); name a hosted LM, or use none"
            )
        self.files = files
        self.api_key = secrets.token_urlsafe(24)
        ours = digest(files.base) == SMOLLM2_SHA256
        self.path = at_eight_bits(files.base) if ours else files.base
        settings = {
            "path": str(self.path),
            "adapter": None if files.adapter is None else str(files.adapter),
            "api_key": self.api_key,
            "context": EMBEDDED_CONTEXT,
            "threads": min(threads, processors()),
            "prompt_cache": prompt_cache,
        }
        with tempfile.TemporaryFile("w+", errors="replace") as said:  # an unread pipe fills up
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("child.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,  # Ctrl-C is for the parent, whose end ends the child
            )
            self.url = self._start(settings, said)
        self.lm = self._language_model()

    def _start(self, settings: dict[str, object], said: IO[str]) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(settings) + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], _START_SECONDS)
            line = self.process.stdout.readline() if ready else ""
            answer = json.loads(line) if line.strip() else {}
        except (OSError, ValueError) as error:
            answer, ready = {"error": str(error)}, []
        if "url" not in answer:
            why = answer.get("error") or (self._ending(said) if ready else _SILENT)
            self.stop()
            raise LMError(f"lm embedded: {self.path} cannot be served: {why}")
        return str(answer["url"])

    def _language_model(self) -> dspy.LM:
        # A dspy.LM binds the registration that it finds when it is made: a later one of the
        # same name, of another server, is not its own.
        access = AccessPolicy(provider=EMBEDDED_PROVIDER, base_url=f"{self.url}/v1")
        register_provider(
            ProviderDefinition.chat(access, compat=OpenAIChatCompat()),
            supports=ModelSupport(response_schema=True, function_calling=False),
            replace=True,
        )
        # DSPy's cache key leaves out the address: the name must differ between files.
        return dspy.LM(
            f"{EMBEDDED_PROVIDER}/{self.files.name}",
            api_key=self.api_key,
            cache=False,
            timeout=CALL_SECONDS,
            temperature=0.0,
            max_tokens=200,
            logprobs=True,
            top_logprobs=_TOP_LOGPROBS,
        )

    def _ending(self, said: IO[str]) -> str:
        """Return the last that the child said before it ended."""
        code = self.process.wait(timeout=_START_SECONDS)
        said.seek(0)
        last = said.read().strip().splitlines()[-1:]
        return ": ".join([f"the server ended at once with code {code}", *last])

    def alive(self) -> bool:
        """Tell whether the child process runs."""
        return self.process.poll() is None

    def close_pipes(self) -> None:
        """Close the pipes; the child ends when no process holds them."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def stop(self) -> None:
        """End the child process and wait for it."""
        self.close_pipes()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_servers: dict[tuple[int, Weights, int, bool], EmbeddedServer] = {}
_servers_lock = Lock()


@atexit.register
def _stop_servers() -> None:
    for (pid, *_), server in _servers.items():
        if pid == os.getpid():  # a forked child leaves its parent's servers alone
            server.stop()


def _forked() -> None:
    """Leave a parent's servers to the parent: a pipe held here would keep them running."""
    for server in _servers.values():
        server.close_pipes()


if hasattr(os, "register_at_fork"):  # not where processes are not forked
    os.register_at_fork(after_in_child=_forked)


def is_served(lm: dspy.LM) -> bool:
    """Tell whether the server behind an LM runs and is this process's own."""
    return any(
        pid == os.getpid() and server.api_key == lm.kwargs["api_key"] and server.alive()
        for (pid, *_), server in list(_servers.items())
    )


def embedded(files: Weights, threads: int, prompt_cache: bool) -> dspy.LM:
    """Return the LM that serves these files; its server is started where none runs.

    Raises:
        LMError: the server is not installed, the file is unusable or it does not start.
    """
    key = (os.getpid(), files, threads, prompt_cache)
    with _servers_lock:
        server = _servers.get(key)
        if server is not None and not server.alive():
            server.stop()  # closes its pipes
            server = None
        if server is None:
            server = _servers[key] = EmbeddedServer(files, threads, prompt_cache)
        return server.lm.copy()  # a caller may change it
