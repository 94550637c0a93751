"""An LM whose calls end in time: with the task's deadline, bounded retries and a circuit.

``guarded`` makes it from any LM. It is the same LM to DSPy: a copy whose class is derived from its
own, with the same callbacks, history, cache, connections and capabilities.
"""

import asyncio
import math
import os
import sys
from collections.abc import Awaitable, Callable, Hashable
from functools import lru_cache
from importlib import import_module
from typing import Any

import dspy
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from .._compat import has_async_engine, uses_litellm
from .background import in_thread, is_background, wait_for
from .budget import TaskBudget, current_budget
from .circuit import Circuit, circuit
from .faults import LMTimeoutError, fault_of, is_about_the_lm, is_worth_retrying, retry_after

_MOST_RETRIES = 5  # of what a user's LM asks for; DSPy's own default is 3
# Full jitter (Brooker, Exponential Backoff And Jitter, 2015): up to 0.5, 1, 2, 4 ... seconds.
_JITTER = wait_random_exponential(multiplier=0.5, max=8.0)
_ADDRESSES = ("api_base", "base_url")


class Guarded:
    """What a guarded LM does before its own class's call; see ``guarded``."""

    model: str
    kwargs: dict[str, Any]
    _retries: int

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask, and wait no longer than the task has time.

        Raises:
            dspy.utils.exceptions.LMError: as the LM itself, or because its time is over or it
                is paused.
        """
        if is_background() or dspy.settings.send_stream is not None:
            # Whoever waits here would stop the loop; a stream belongs to the caller's own.
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        budget = current_budget()
        budget.start()
        return wait_for(self._ask(budget, *args, **kwargs), budget.remaining())

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """Ask as ``__call__`` does, on the caller's event loop."""
        budget = current_budget()
        budget.start()
        return await self._ask(budget, *args, **kwargs)

    async def _ask(self, budget: TaskBudget, *args: Any, **kwargs: Any) -> Any:
        if "litellm" not in sys.modules and uses_litellm(self):
            await asyncio.to_thread(import_module, "litellm")  # seconds: the loop has others
        if answers_async(self):
            ask = super().acall  # type: ignore[misc]

            def attempt() -> Awaitable[Any]:
                return ask(*args, **kwargs)

        else:
            blocking = super().__call__  # type: ignore[misc]

            def attempt() -> Awaitable[Any]:
                return in_thread(lambda: blocking(*args, **kwargs))

        return await _within(attempt, self.model, self._retries, circuit(circuit_key(self)), budget)


async def _within(
    attempt: Callable[[], Awaitable[Any]],
    model: str,
    retries: int,
    breaker: Circuit,
    budget: TaskBudget,
) -> Any:
    """Return what an attempt returns, repeated where that may help and there is time."""
    answer: Any = None
    given = budget.remaining()
    if not given:
        raise LMTimeoutError("the task's time was over before it was asked", model=model)
    try:
        async with asyncio.timeout(None if math.isinf(given) else given):
            async for state in AsyncRetrying(
                stop=_stops(retries, budget),
                wait=_wait,
                retry=retry_if_exception(is_worth_retrying),
                reraise=True,
                sleep=asyncio.sleep,
            ):
                with state:
                    breaker.admit(model)
                    budget.count()
                    answer = await attempt()
    except TimeoutError as error:
        # A call that had only the rest of a task's time does not say that the LM is dead.
        breaker.fail("time-out", sure=2 * given >= budget.seconds)
        raise LMTimeoutError(f"it took longer than {given:.1f} s", model=model) from error
    except Exception as error:
        if is_about_the_lm(error):
            breaker.fail(fault_of(error), asked=retry_after(error))
        raise
    breaker.succeed()
    return answer


def _stops(retries: int, budget: TaskBudget) -> Callable[[RetryCallState], bool]:
    """Return what ends the retries: their number, or a pause that would outlast the deadline."""
    enough = stop_after_attempt(1 + retries)

    def stop(state: RetryCallState) -> bool:
        return enough(state) or state.upcoming_sleep >= budget.remaining()

    return stop


def _wait(state: RetryCallState) -> float:
    """Return the seconds until the next attempt: what the LM asked for, or more by chance."""
    error = state.outcome.exception() if state.outcome else None
    asked = retry_after(error) if error else None
    return (asked or 0.0) + _JITTER(state)


def guarded(lm: Any) -> Any:
    """Return an LM whose calls keep to the task's budget, are repeated and may be refused.

    DSPy's own retries are replaced: as many as the LM was given (``num_retries``), but with
    jitter, within the deadline, and none after a failure that others have met already. The LM
    itself stays as it is.

    Args:
        lm: a ``dspy.BaseLM`` or a client of a decision model.
    """
    if isinstance(lm, Guarded):
        return lm
    twin = lm.__copy__() if hasattr(lm, "__copy__") else _shallow(lm)
    twin._retries = min(getattr(lm, "num_retries", 0), _MOST_RETRIES)
    if hasattr(lm, "num_retries"):
        twin.num_retries = 0
    twin.__class__ = _guarded_class(type(lm))
    return twin


def _shallow(lm: Any) -> Any:
    twin = object.__new__(type(lm))
    twin.__dict__.update(lm.__dict__)
    return twin


@lru_cache(maxsize=64)
def _guarded_class(kind: type) -> type:
    return type(kind.__name__, (Guarded, kind), {"__module__": kind.__module__})


def answers_async(lm: Any) -> bool:
    """Tell whether an LM can be asked as a coroutine that ends where it is cancelled.

    Not where a class or an instance defines a synchronous call anew and no asynchronous one.
    """
    for plain, asynchronous in (("__call__", "acall"), ("forward", "aforward")):
        if _depth(lm, plain) < _depth(lm, asynchronous):
            return False
    return has_async_engine(lm)


def _depth(lm: Any, method: str) -> int:
    """Return how far from an LM a method is defined: 0 on itself, 1 on its class."""
    if method in vars(lm):
        return 0
    kinds = [kind for kind in type(lm).__mro__ if kind is not Guarded]
    return next((n for n, kind in enumerate(kinds, 1) if method in vars(kind)), len(kinds) + 1)


def circuit_key(lm: Any) -> Hashable:
    """Return what tells LMs apart that may fail apart: kind, model, address, key and engine."""
    settings = getattr(lm, "kwargs", {})
    address = next((settings[name] for name in _ADDRESSES if settings.get(name)), None)
    prefix = str(lm.model).partition("/")[0].upper()
    for name in (f"{prefix}_API_BASE", f"{prefix}_BASE_URL"):
        address = address or os.environ.get(name)
    engine = getattr(lm, "engine", None)  # of one's own: kept, so that no other has its id
    return (
        type(lm).__bases__[-1] if isinstance(lm, Guarded) else type(lm),
        str(lm.model),
        str(address or getattr(lm, "base_url", None)),
        hash(settings.get("api_key")),
        engine if type(engine).__hash__ else id(engine),
    )
