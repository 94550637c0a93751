"""LM specs to ``dspy.LM``: ``embedded``, ``embedded:raw``, ``embedded:<file.gguf>``, a DSPy
model string, or ``systemone:<address>`` for a backend that decides instead of writing.

Keys are read from the environment by DSPy and never written anywhere. The embedded
server gets a random key per start, so that no other process on the machine can use it.
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
from threading import Lock
from typing import IO, Any

import dspy
from dspy.lm15 import (
    AccessPolicy,
    LM15Error,
    LMRouter,
    ModelSupport,
    OpenAIChatCompat,
    ProviderDefinition,
    RouterConfig,
    UnknownModelError,
    register_provider,
)

from .eight_bit import at_eight_bits
from .errors import LMError, LMSpecError
from .weights import SMOLLM2_SHA256, Weights, digest, weights

# LiteLLM, which DSPy imports at the first call, would fetch a price list from the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

_PROVIDER = "task-delegator-embedded"
_SYSTEM_ONE = "systemone"
_CONTEXT = 8192  # tokens; SmolLM2's own limit, and room for a shortlist with demos
_START_SECONDS = 60.0
_SILENT = f"no answer within {_START_SECONDS:.0f} s"
_CALL_SECONDS = 120.0
_HOSTED_TOP_LOGPROBS = 20  # the most that hosted APIs return
_EMBEDDED_TOP_LOGPROBS = 500  # taken before the grammar's mask: other tokens fill the top


class EmbeddedServer:
    """A llama.cpp server in a child process on a free loopback port.

    Args:
        files: the model to serve.
        threads: compute threads, at most one for each processor that this process may use:
            more wait for each other.
        prompt_cache: reuse the shared prefix of prompts; faster, but the
            log-probabilities of the same prompt then differ by up to 0.1.

    Raises:
        LMError: the server is not installed, the file is unusable or it does not start.
    """

    def __init__(self, files: Weights, threads: int = 2, prompt_cache: bool = True) -> None:
        if find_spec("xllamacpp") is None:
            raise LMSpecError("lm embedded: xllamacpp is not installed; run pip install xllamacpp")
        self.files = files
        self.api_key = secrets.token_urlsafe(24)
        ours = digest(files.base) == SMOLLM2_SHA256
        self.path = at_eight_bits(files.base) if ours else files.base
        settings = {
            "path": str(self.path),
            "adapter": None if files.adapter is None else str(files.adapter),
            "api_key": self.api_key,
            "context": _CONTEXT,
            "threads": min(threads, processors()),
            "prompt_cache": prompt_cache,
        }
        with tempfile.TemporaryFile("w+", errors="replace") as said:  # an unread pipe fills up
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("llama_child.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,  # Ctrl-C is for the parent, whose end ends the child
            )
            self.url = self._start(settings, said)

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

    def _ending(self, said: IO[str]) -> str:
        """Return the last that the child said before it ended."""
        code = self.process.wait(timeout=_START_SECONDS)
        said.seek(0)
        last = said.read().strip().splitlines()[-1:]
        return ": ".join([f"the server ended at once with code {code}", *last])

    def alive(self) -> bool:
        """Tell whether the child process runs."""
        return self.process.poll() is None

    def let_go(self) -> None:
        """Close the pipes; the child ends when no process holds them."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def stop(self) -> None:
        """End the child process and wait for it."""
        self.let_go()
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
    global _servers_lock
    _servers_lock = Lock()
    for server in _servers.values():
        server.let_go()


os.register_at_fork(after_in_child=_forked)


def language_model(spec: str, threads: int = 2, prompt_cache: bool = True) -> Any:
    """Return the LM that a spec names, asked for log-probabilities, without DSPy's cache.

    Args:
        spec: ``embedded`` (the packaged LM with the adapter that ships),
            ``embedded:raw`` (without it), ``embedded:<path to a .gguf>`` (a model, or an
            adapter of the packaged LM), a DSPy model string, or ``systemone:<http address>``:
            TypeSafe's API or a llama.cpp server with a decision model, reached with DSPy's
            own client (key from ``TYPESAFE_API_KEY``).
        threads: compute threads of an embedded server.
        prompt_cache: prefix cache of an embedded server (see ``EmbeddedServer``).

    Raises:
        LMError: the spec is unknown, a key or a package is missing, a file is damaged.
    """
    files = check_spec(spec)
    if files is not None:
        return _embedded(files, threads, prompt_cache)
    kind, _, address = spec.partition(":")
    if kind == _SYSTEM_ONE:
        from .systemone import SystemOne

        return SystemOne(address)
    lm = dspy.LM(spec, cache=False, timeout=_CALL_SECONDS)
    if lm.supports_reasoning:  # such models refuse a request for log-probabilities
        return lm
    return lm.copy(logprobs=True, top_logprobs=_HOSTED_TOP_LOGPROBS)


def words_alone(lm: Any) -> Any:
    """Return a copy of an LM that is asked for no log-probabilities."""
    return lm.copy(logprobs=None, top_logprobs=None)


def writes(lm: Any) -> bool:
    """Tell whether an LM writes text; a System One backend only decides."""
    return not getattr(lm, "supports_decision_requests", False)


def check_spec(spec: str) -> Weights | None:
    """Check a spec without starting anything; return the files of an embedded LM.

    Raises:
        LMSpecError: the spec is unknown, a key or a package is missing, a file is damaged.
    """
    kind, _, rest = spec.partition(":")
    if kind == "embedded":
        return weights(rest)
    if kind == _SYSTEM_ONE:
        if not rest.startswith(("http://", "https://")):
            raise LMSpecError(
                f"lm {spec!r}: systemone needs an address, e.g. systemone:http://host:8080"
            )
        if find_spec("typesafe_sdk") is None:
            raise LMSpecError(f"lm {spec!r}: not installed; run pip install 'dspy[typesafe]'")
        return None
    if "/" not in spec or spec.endswith("/"):
        raise LMSpecError(
            f"unknown LM {spec!r}; use embedded, embedded:<file.gguf>, systemone:<address> or "
            "provider/model, e.g. openai/gpt-5-mini"
        )
    _require_route(spec)
    return None


def _embedded(files: Weights, threads: int, prompt_cache: bool) -> dspy.LM:
    key = (os.getpid(), files, threads, prompt_cache)
    with _servers_lock:
        server = _servers.get(key)
        if server is not None and not server.alive():
            server.stop()  # closes its pipes
            server = None
        if server is None:
            server = _servers[key] = EmbeddedServer(files, threads, prompt_cache)
        # A dspy.LM binds the registration that it finds when it is made.
        access = AccessPolicy(provider=_PROVIDER, base_url=f"{server.url}/v1")
        register_provider(
            ProviderDefinition.chat(access, compat=OpenAIChatCompat()),
            supports=ModelSupport(response_schema=True, function_calling=False),
            replace=True,
        )
        # DSPy's cache key leaves out the address: the name has to tell files apart.
        return dspy.LM(
            f"{_PROVIDER}/{files.name}",
            api_key=server.api_key,
            cache=False,
            timeout=_CALL_SECONDS,
            temperature=0.0,
            max_tokens=200,
            logprobs=True,
            top_logprobs=_EMBEDDED_TOP_LOGPROBS,
        )


def _require_route(spec: str) -> None:
    """Refuse a model string whose provider is unknown or whose key is missing, offline."""
    provider, model = spec.split("/", 1)
    try:
        LMRouter(RouterConfig()).lm(f"{provider}:{model}")
        return
    except UnknownModelError:
        pass  # not one of DSPy's own providers: LiteLLM may know it
    except LM15Error as error:
        raise LMSpecError(f"lm {spec}: {str(error).splitlines()[0]}") from error
    import litellm

    litellm.suppress_debug_info = True
    try:
        litellm.get_llm_provider(spec)
    except Exception as error:  # LiteLLM's own types
        raise LMSpecError(f"unknown LM {spec!r}: no such provider {provider!r}") from error
    missing = [
        name for name in litellm.validate_environment(spec)["missing_keys"] if name.endswith("_KEY")
    ]
    if missing:
        raise LMSpecError(f"lm {spec}: no API key; set {' or '.join(missing)}")
