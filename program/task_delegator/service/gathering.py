"""Score tasks that wait at the same time together, each for its own caller."""

import asyncio
import logging
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import cast

from ..retrieval import Asked, Retrieval

_log = logging.getLogger(__name__)

_TOGETHER = 32  # tasks of a batch at most: the first waits until all of them are scored
_CALLERS = 4096  # sets of permissions that are remembered
# The encoder reads two texts side by side, so that a batch keeps two processors busy.
_BATCHES = max(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, 2) // 2

_Waiting = tuple[Asked, "asyncio.Future[Retrieval | None]"]


class Gathering:
    """Score tasks in batches, without a wait for a batch to fill.

    A task that comes while no batch is under way begins one at once. What comes meanwhile forms
    the next.

    Args:
        score: returns the scores of tasks in their order, None of one that is to be read by
            itself; called in a thread.
        together: tasks of a batch, at most.
        batches: that are under way at a time, at most.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Asked]], Sequence[Retrieval | None]],
        together: int = _TOGETHER,
        batches: int = _BATCHES,
    ) -> None:
        self._score, self._together, self._batches = score, together, batches
        self._waiting: deque[_Waiting] = deque()
        self._working: set[asyncio.Task[None]] = set()
        # By their hash: a set may be as large as a request. Where two have one, others wait once.
        self._met: OrderedDict[int, None] = OrderedDict()
        self._context = copy_context()  # no batch runs in that of one of its requests

    def meet(self, permissions: frozenset[str] | None) -> None:
        """Let tasks of a caller be scored with others from now on: one has been answered."""
        self._met[hash(permissions)] = None
        self._met.move_to_end(hash(permissions))
        if len(self._met) > _CALLERS:
            self._met.popitem(last=False)

    async def scored(self, asked: Asked) -> Retrieval | None:
        """Return a task's scores, None where it is to be read by itself.

        That is so for a caller's first task, as others should not wait until what answers that
        caller is built, and where a batch failed: the fault shows where it belongs.
        """
        if hash(asked.permissions) not in self._met:
            return None
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if len(self._working) < self._batches:
            work = asyncio.create_task(self._work(), context=self._context.copy())
            self._working.add(work)
            work.add_done_callback(self._working.discard)
        return await answer

    async def _work(self) -> None:
        """Score what waits, batch by batch, until nothing does."""
        try:
            while self._waiting:
                await self._batch()
        finally:
            # At once: a task that comes before the callbacks of this work would wait for it.
            self._working.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _batch(self) -> None:
        number = min(len(self._waiting), self._together)
        batch = [self._waiting.popleft() for _ in range(number)]
        batch = [(asked, answer) for asked, answer in batch if not answer.done()]
        try:
            scored = await self._scores([asked for asked, _ in batch])
        except BaseException:  # the service ends: nobody waits for ever
            for _, answer in (*batch, *self._waiting):
                answer.cancel()
            raise
        for (_, answer), one in zip(batch, scored, strict=True):
            if not answer.done():  # who asked may be gone
                answer.set_result(one)

    async def _scores(self, asked: Sequence[Asked]) -> Sequence[Retrieval | None]:
        try:
            return await asyncio.to_thread(self._score, asked)
        except Exception as error:  # whose fault it is shows where each is read by itself
            kind = type(error).__name__
            _log.warning("%d tasks are read one by one, as a batch failed: %s", len(asked), kind)
            return [None] * len(asked)
