"""What one task may spend on its LM: a deadline for all of its calls, and a count of them.

The budget stands in a context variable, so that every call of a task finds it, whatever stage,
adapter or module makes it, in the caller's thread or in another one.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class TaskBudget:
    """Count down the seconds of one task, and count the attempts that its LM calls took.

    Args:
        seconds: for all calls together, from now on by a monotonic clock; None for no limit.
    """

    def __init__(self, seconds: float | None = None) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a deadline is a positive number of seconds, got {seconds!r}")
        self.seconds = math.inf if seconds is None else float(seconds)
        self._end = time.monotonic() + self.seconds
        self._attempts = 0
        self._lock = threading.Lock()

    @property
    def attempts(self) -> int:
        """Calls that an LM was sent, repeated ones included."""
        return self._attempts

    def remaining(self) -> float:
        """Return the seconds that are left, at least 0; infinity where there is no deadline."""
        return max(0.0, self._end - time.monotonic())

    def count(self) -> None:
        """Count one attempt."""
        with self._lock:
            self._attempts += 1


_UNLIMITED = TaskBudget()
_budget: ContextVar[TaskBudget] = ContextVar("task_budget", default=_UNLIMITED)


def current_budget() -> TaskBudget:
    """Return the budget of the task that is being done, without a deadline where there is none."""
    return _budget.get()


@contextmanager
def task_budget(seconds: float | None) -> Iterator[TaskBudget]:
    """Give the calls within a budget, which ends no later than the one around it.

    Args:
        seconds: for all calls together; None for no limit of its own.
    """
    outer = _budget.get().remaining()
    limit = outer if seconds is None else min(seconds, outer)
    budget = TaskBudget(None if math.isinf(limit) else max(limit, 1e-9))
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)
