"""Resolve an LM spec to a ``dspy.LM``, with its time-out and log-probabilities.

Specs: ``embedded``, ``embedded:raw``, ``embedded:<file.gguf>``, a DSPy model string, or
``systemone:<address>`` for a backend that decides instead of writing.

Keys are read from the environment by DSPy and never written anywhere.
"""

import os
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import dspy

from .._compat import LM15Error, LMRouter, RouterConfig, UnknownModelError, uses_litellm
from ..errors import LMSpecError
from ..text import redact
from .weights import RAW, SMOLLM2, SMOLLM2_SHA256, Weights, find_weights

# LiteLLM, which DSPy imports at the first call, would fetch a price list from the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

if TYPE_CHECKING:
    from .systemone import SystemOne

_SYSTEM_ONE = "systemone"
_PACKAGED = ("embedded", f"embedded:{RAW}")  # specs of the LM that comes as a package
CALL_SECONDS = 120.0
EMBEDDED_PROVIDER = "task-delegator-embedded"
EMBEDDED_CONTEXT = 8192  # tokens; SmolLM2's own limit, and room for a shortlist with demos
_HOSTED_TOP_LOGPROBS = 20  # the most that hosted APIs return
# LMs of somebody's own as they are asked, and their settings at that time.
_asked: WeakKeyDictionary[dspy.LM, tuple[dict[str, Any], dspy.LM | None]] = WeakKeyDictionary()


def language_model(spec: str, threads: int = 2, prompt_cache: bool = True) -> "dspy.LM | SystemOne":
    """Return the LM that a spec names, asked for log-probabilities, without DSPy's cache.

    A spec that was resolved before costs little: a server that runs is used again, and a model
    string is not looked up again while the environment holds the same keys.

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
        from .server import embedded  # POSIX: whoever names no embedded LM does not need it

        return embedded(files, threads, prompt_cache)
    kind, _, address = spec.partition(":")
    if kind == _SYSTEM_ONE:
        from .systemone import SystemOne

        return SystemOne(address)
    lm = dspy.LM(spec, cache=False, timeout=CALL_SECONDS)  # anew: it keeps the key it first reads
    return with_logprobs(lm)


def with_logprobs(lm: dspy.LM) -> dspy.LM:
    """Return a copy of a hosted LM that is asked for log-probabilities, itself if it has none."""
    # Models that reason refuse the request for them; so does LiteLLM for providers without any.
    if lm.supports_reasoning or "logprobs" not in lm.supported_params:
        return lm
    return lm.copy(logprobs=True, top_logprobs=_HOSTED_TOP_LOGPROBS)


def as_asked(lm: Any) -> Any:
    """Return an LM of somebody's own as it is asked: for log-probabilities, as one that is named.

    Itself where it is no plain ``dspy.LM``, or says itself whether it gives them.
    """
    if type(lm) is not dspy.LM or "logprobs" in lm.kwargs:
        return lm
    known = _asked.get(lm)
    if known is None or known[0] != lm.kwargs:  # new, or changed since
        asked = with_logprobs(lm)
        # What holds the LM itself would keep it for ever.
        known = _asked[lm] = dict(lm.kwargs), None if asked is lm else asked
    return known[1] or lm


def gives_logprobs(lm: Any) -> bool:
    """Tell whether an LM is asked for log-probabilities."""
    return bool(getattr(lm, "kwargs", {}).get("logprobs"))


def without_logprobs(lm: Any) -> Any:
    """Return a copy of an LM that is asked for no log-probabilities."""
    return lm.copy(logprobs=None, top_logprobs=None)


def context_tokens(lm: Any) -> int | None:
    """Return the tokens that an LM reads and writes at most, None where that is not known.

    Known of the embedded LM, and of an LM that was made with ``num_ctx`` (Ollama).
    """
    if is_embedded(lm):
        return EMBEDDED_CONTEXT
    given = getattr(lm, "kwargs", {}).get("num_ctx")
    return given if isinstance(given, int) else None


def is_embedded(lm: Any) -> bool:
    """Tell whether an LM is served on this machine by the package itself."""
    return str(getattr(lm, "model", "")).startswith(f"{EMBEDDED_PROVIDER}/")


def is_packaged(lm: Any) -> bool:
    """Tell whether an LM, or its spec, is the packaged one: 135M parameters read little."""
    if isinstance(lm, str):
        return lm in _PACKAGED
    name = f"{EMBEDDED_PROVIDER}/{Path(SMOLLM2).stem}-{SMOLLM2_SHA256[:8]}"
    return str(getattr(lm, "model", "")).startswith(name)


def writes(lm: Any) -> bool:
    """Tell whether an LM writes text; a System One backend only decides."""
    return not getattr(lm, "supports_decision_requests", False)


def prepare(lm: Any) -> None:
    """Import what the first call of a hosted LM would, which takes seconds; nothing is asked.

    Args:
        lm: an LM, or its spec.

    Raises:
        LMError: as ``language_model`` does.
    """
    if isinstance(lm, str):
        if lm.partition(":")[0] in ("embedded", _SYSTEM_ONE):
            return
        lm = language_model(lm)
    if uses_litellm(lm):
        import_module("litellm")


def is_up(spec: str, lm: Any) -> bool:
    """Tell whether what a spec named before can be asked still: an embedded server may have died.

    In a forked process it is up, but it is the parent's.
    """
    if spec.partition(":")[0] != "embedded":
        return True
    from .server import is_served  # POSIX alone

    return is_served(lm)


def check_spec(spec: str) -> Weights | None:
    """Check a spec without starting anything; return the files of an embedded LM.

    Raises:
        LMSpecError: the spec is unknown, a key or a package is missing, a file is damaged.
    """
    kind, _, rest = spec.partition(":")
    if kind == "embedded":
        return find_weights(rest)
    if kind == _SYSTEM_ONE:
        if not rest.startswith(("http://", "https://")):
            host = rest.rpartition("@")[2]  # what stands before it may be a password
            raise LMSpecError(
                f"lm {f'{kind}:{host}'!r}: systemone needs an address, "
                "e.g. systemone:http://host:8080"
            )
        if find_spec("typesafe_sdk") is None:
            raise LMSpecError(f"lm {spec!r}: not installed; run pip install 'dspy[typesafe]'")
        return None
    if "/" not in spec or spec.endswith("/"):
        raise LMSpecError(
            f"unknown LM {spec!r}; use embedded, embedded:<file.gguf>, systemone:<address> or "
            "provider/model, e.g. openai/gpt-5-mini"
        )
    _require_route(spec, frozenset(name for name in os.environ if name.endswith("_KEY")))
    return None


@lru_cache(maxsize=32)
def _require_route(spec: str, keys: frozenset[str]) -> None:
    """Refuse a model string whose provider is unknown or whose key is missing, offline.

    Args:
        spec: a DSPy model string.
        keys: names of the keys in the environment, which the answer depends on.
    """
    provider, model = spec.split("/", 1)
    try:
        LMRouter(RouterConfig()).lm(f"{provider}:{model}")
        return
    except UnknownModelError:
        pass  # not one of DSPy's own providers: LiteLLM may know it
    except LM15Error as error:
        said = str(error).partition(", or pass RouterConfig")[0]  # DSPy's own, which nobody passes
        raise LMSpecError(f"lm {spec}: {redact(said)}") from error
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
