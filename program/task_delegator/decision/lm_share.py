"""While tasks come: a promised cap on the share of them for which the LM is asked.

A gate is chosen on known requests; harder traffic has more tasks below it. The cap holds whatever
comes: of tasks that are known together the least certain are asked, of tasks that come one after
the other those that are among the least certain of late.
"""

import math
import os
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from ..delegation import Withheld
from ..settings import check_lm_share
from ..system import Lock

RECENT = 500  # tasks that a new one is compared with
BURST = 20  # tasks that may be asked beyond the share in any row of tasks
_ROUNDING = 1e-9  # of a share times a count, as 0.29 * 100


LMVerdict = Literal["ask", "share", "calls"]  # ask it, or what keeps it from the task
_verdict: ContextVar[LMVerdict | None] = ContextVar("lm_verdict", default=None)


@contextmanager
def lm_decided(verdict: LMVerdict | None) -> Iterator[None]:
    """Delegate a task for which it is known whether the LM may be asked; None: it is not."""
    token = _verdict.set(verdict)
    try:
        yield
    finally:
        _verdict.reset(token)


def allowed_by_share(share: float, tasks: int) -> int:
    """Return how many of so many tasks the LM may be asked about."""
    return math.floor(share * tasks + _ROUNDING)


def least_certain(certainties: Sequence[float | None], most: int) -> set[int]:
    """Return the places of the least certain tasks, at most so many, earlier ones first.

    Args:
        certainties: of the tasks; None where the LM is not needed.
        most: how many.
    """
    needed = [(_order(known), i) for i, known in enumerate(certainties) if known is not None]
    return {place for _, place in sorted(needed)[:most]}


class LMShareCap:
    """Keep the share of tasks that the LM is asked about, of tasks that come one by one.

    A task is asked where fewer than ``share`` of the last ``RECENT`` tasks were less certain, and
    as long as no row of tasks, however long, has more than ``share`` of it and ``BURST`` asked;
    since the start, one beyond the share. Threads may share it. A copy, what is unpickled, and a
    forked child begin anew.

    Args:
        share: 0..1; None for no cap.
    """

    def __init__(self, share: float | None = None) -> None:
        check_lm_share(share)
        self.share = share
        self._turn = Lock()
        self._begin()

    def __reduce__(self) -> tuple[Any, ...]:
        return LMShareCap, (self.share,)

    def withholds(self, certainty: float | None) -> Withheld | None:
        """Count a task, and return what keeps the LM from it; None where nothing does.

        Args:
            certainty: the number that the gate compares; None where the LM is not needed.
        """
        decided = _verdict.get()
        if decided is not None:
            return None if decided == "ask" else decided
        if self.share is None:
            return None
        with self._turn:
            if self._process != os.getpid():  # a fork may have come between two lines
                self._begin()
            return None if self._admits(certainty, self.share) else "share"

    def _begin(self) -> None:
        self._process = os.getpid()
        self._recent: deque[float] = deque()  # in the order of the tasks
        self._ranked: list[float] = []  # the same, least certain first
        self._credit = 1.0 - (self.share or 0.0)  # tasks that may be asked, once one came

    def _admits(self, certainty: float | None, share: float) -> bool:
        known = _order(certainty)
        if len(self._recent) == RECENT:
            del self._ranked[bisect_left(self._ranked, self._recent.popleft())]
        self._recent.append(known)
        insort(self._ranked, known)
        self._credit = min(self._credit + share, BURST)
        urgent = bisect_left(self._ranked, known) < share * len(self._ranked)
        if certainty is None or not urgent or self._credit < 1 - _ROUNDING:
            return False
        self._credit -= 1
        return True


def _order(certainty: float | None) -> float:
    """Return what tasks are ordered by; what is unknown or needs no LM comes last."""
    return math.inf if certainty is None or math.isnan(certainty) else certainty
