"""DSPy surfaces beyond its stable one that this package uses, each with its reason.

``tests/test_compat.py`` fails where one of these goes or changes its meaning.
"""

from typing import Any, cast

import dspy

# Which of its two clients an LM takes is decided by a function that is not described: LiteLLM
# takes seconds to import, which no event loop may wait for.
from dspy.clients.backend_selection import select_backend

# Declared experimental. ``Choice``: the one output type that a decision model answers and a chat
# LM writes as a distribution. ``TypeSafe``: the client that ``Predict`` takes for such a model.
# Both are decorated, which hides that they are classes from a type checker.
from dspy.experimental import Choice as _Choice
from dspy.experimental import TypeSafe as _TypeSafe

# The native engine's own types, exported by DSPy since 3.4 and not described as stable. A server
# that this package starts is registered as a provider, and a model string is checked offline.
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

# Undocumented. Spans need the call that a call was made in.
from dspy.utils.callback import ACTIVE_CALL_ID

__all__ = [
    "ACTIVE_CALL_ID",
    "AccessPolicy",
    "Choice",
    "LM15Error",
    "LMRouter",
    "ModelSupport",
    "OpenAIChatCompat",
    "ProviderDefinition",
    "RouterConfig",
    "TypeSafe",
    "UnknownModelError",
    "clear_compiled",
    "has_async_engine",
    "register_provider",
    "uses_litellm",
]

Choice = cast("Any", _Choice)
TypeSafe = cast("Any", _TypeSafe)


def clear_compiled(module: dspy.Module) -> None:
    """Take an optimizer's mark off: DSPy leaves marked modules out of their parent's state."""
    module._compiled = False  # private, and without another way to say it


def has_async_engine(lm: Any) -> bool:
    """Tell whether an LM's engine can be awaited; one of the user's own may be synchronous.

    ``dspy.LM`` says which engine it has, and keeps the asynchronous one to itself.
    """
    built_in = isinstance(getattr(lm, "engine", ""), str)
    return built_in or getattr(lm, "_async_engine_spec", None) is not None


def uses_litellm(lm: Any) -> bool:
    """Tell whether an LM is asked through LiteLLM, as it is set up."""
    if not isinstance(lm, dspy.LM) or not isinstance(lm.engine, str):
        return False
    try:
        return not select_backend(lm).native
    except LM15Error:
        return False  # it says so when it is asked
