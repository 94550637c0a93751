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

    The clock starts with the first call: what came before, as an index that is built or a server
    that is started, takes nothing of it.

    Args:
        seconds: for all calls together, by a monotonic clock; None for no limit.
        outer: the budget around it, which it cannot outlast.
    """

    def __init__(self, seconds: float | None = None, outer: "TaskBudget | None" = None) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a deadline is a positive number of seconds, got {seconds!r}")
        self._own = math.inf if seconds is None else float(seconds)
        self._outer = outer
        self._end: float | None = None
        self._attempts = 0
        self._lock = threading.Lock()

    @property
    def attempts(self) -> int:
        """Calls that an LM was sent, repeated ones included."""
        return self._attempts

    @property
    def seconds(self) -> float:
        """The whole budget; infinity where there is none."""
        return self._own if self._outer is None else min(self._own, self._outer.seconds)

    def remaining(self) -> float:
        """Return the seconds that are left, at least 0; infinity where there is no deadline."""
        left = self._own if self._end is None else max(0.0, self._end - time.monotonic())
        return left if self._outer is None else min(left, self._outer.remaining())

    def start(self) -> None:
        """Start the clock, where it does not run yet."""
        if self._outer is not None:
            self._outer.start()
        with self._lock:
            if self._end is None:
                self._end = time.monotonic() + self._own

    def count(self) -> None:
        """Count one attempt."""
        with self._lock:
            self._attempts += 1


_budget: ContextVar[TaskBudget | None] = ContextVar("task_budget", default=None)


def current_budget() -> TaskBudget:
    """Return the budget of the task that is being done; a new one, without limit, for no task."""
    return _budget.get() or TaskBudget()


@contextmanager
def task_budget(seconds: float | None) -> Iterator[TaskBudget]:
    """Give the calls within a budget, which ends no later than the one around it.

    Args:
        seconds: for all calls together; None for no limit of its own.
    """
    budget = TaskBudget(seconds, _budget.get())
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)
