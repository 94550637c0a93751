"""One body for ``forward`` and ``aforward``: coroutines that a synchronous caller runs to the end.

What asks an LM is written once, as a coroutine. Under ``run_to_end`` its modules are called as
they are and nothing is awaited, so that it never suspends; under an event loop they are awaited.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

_T = TypeVar("_T")
_synchronous: ContextVar[bool] = ContextVar("synchronous", default=False)


def run_to_end(body: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end in this thread, its modules called synchronously."""
    token = _synchronous.set(True)
    try:
        body.send(None)
    except StopIteration as end:
        return end.value
    finally:
        _synchronous.reset(token)
        body.close()
    raise RuntimeError("a coroutine that is run synchronously awaited something")


async def call_module(module: Any, **inputs: Any) -> Any:
    """Call a module: awaited where it can be, in a thread where it cannot.

    Args:
        module: a ``dspy.Module``; one of a user's own may have no ``aforward``.
        inputs: of the module.
    """
    if _synchronous.get():
        return module(**inputs)
    if hasattr(module, "aforward"):
        return await module.acall(**inputs)
    return await asyncio.to_thread(module, **inputs)


async def compute_off_loop(function: Callable[..., _T], *args: Any, **inputs: Any) -> _T:
    """Call what takes more than an instant: in a thread, where an event loop would wait."""
    if _synchronous.get():
        return function(*args, **inputs)
    return await asyncio.to_thread(function, *args, **inputs)
