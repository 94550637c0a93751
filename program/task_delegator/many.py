"""Delegate many tasks at once: retrieved together, and the LM is asked for several at a time."""

from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import dspy

from .delegation import Delegation
from .errors import DelegatorError, InputError
from .knobs import Knobs
from .registry import permission_set
from .retrieval import Asked, Retrieval, Retrieve, score_many
from .settings import check_task

_AT_ONCE = 128  # tasks that are decided together, so that the first come soon
LM_THREADS = 8  # calls of an LM that are waited for at a time


class DelegatesMany:
    """What a ``Delegator`` does for many tasks."""

    if TYPE_CHECKING:  # the program's own
        knobs: Knobs
        retrieve: Retrieve

    def delegate_many(
        self,
        tasks: Sequence[str],
        permissions: Collection[str] | None = None,
        threads: int = LM_THREADS,
    ) -> list[Delegation]:
        """Return what the program would answer to each task, sooner than one after the other.

        A task's ``usage.seconds`` are its own and its share of what was done for all.

        Args:
            tasks: as for ``forward``.
            permissions: as for ``forward``.
            threads: tasks that wait for an LM at a time.

        Raises:
            InputError: a task is no text, empty or too long; nothing was begun.
            LMError: as for ``forward``; the other tasks were finished.
        """
        found = list(self.delegate_each(tasks, permissions, threads))
        for answer in found:
            if isinstance(answer, DelegatorError):
                raise answer
        return [answer for answer in found if isinstance(answer, Delegation)]

    def delegate_each(
        self,
        tasks: Sequence[str],
        permissions: Collection[str] | None = None,
        threads: int = LM_THREADS,
    ) -> Generator[Delegation | DelegatorError, None, None]:
        """Yield ``delegate_many``'s answers as they come, in order; a task that fails, its error.

        Raises:
            InputError: a task is no text, empty or too long; nothing was begun.
        """
        check_tasks(tasks)
        knobs = self.knobs.values
        allowed = permission_set(permissions)
        found = score_many(self.retrieve, [Asked(task, allowed) for task in tasks], knobs)
        waits = threads > 1 and self.may_ask_lm()
        return self._decide_each(tasks, permissions, found, threads if waits else 1)

    def may_ask_lm(self) -> bool:
        """Tell whether a task could need the LM, without looking for the one that a spec names."""
        asking, program = self.knobs.values.lm, cast("Any", self)
        if asking.gate is None and not asking.ask_settled:
            return False
        bound = (predict.lm for predict in program.predictors())
        return any(lm is not None for lm in (program._lm, dspy.settings.lm, *bound))

    def _decide_each(
        self,
        tasks: Sequence[str],
        permissions: Collection[str] | None,
        found: Iterator[Retrieval],
        threads: int,
    ) -> Generator[Delegation | DelegatorError, None, None]:
        for start in range(0, len(tasks), _AT_ONCE):
            started = perf_counter()
            some = list(islice(found, _AT_ONCE))
            share = (perf_counter() - started) / len(some)
            pairs = list(zip(tasks[start : start + _AT_ONCE], some, strict=True))
            if threads == 1:
                for task, own in pairs:
                    yield self._decide(task, permissions, own, share)
                continue
            with ThreadPoolExecutor(threads) as pool:
                decided = [
                    pool.submit(copy_context().run, self._decide, task, permissions, own, share)
                    for task, own in pairs
                ]
                for answer in decided:
                    yield answer.result()

    def _decide(
        self, task: str, permissions: Collection[str] | None, found: Retrieval, share: float
    ) -> Delegation | DelegatorError:
        program: Any = self  # a module: it can be called
        try:
            delegation: Delegation = program(task, permissions, found)
        except DelegatorError as error:
            return error
        usage = delegation.usage
        return delegation.copy(usage=replace(usage, seconds=usage.seconds + share))


def check_tasks(tasks: Sequence[str]) -> None:
    """Refuse tasks of which one cannot be delegated.

    Raises:
        InputError: which, from 1, and why.
    """
    for number, task in enumerate(tasks, 1):
        if not isinstance(task, str):
            raise InputError(f"task {number}: expected a text, not {type(task).__name__}")
        try:
            check_task(task)
        except InputError as error:
            raise InputError(f"task {number}: {error}") from error
