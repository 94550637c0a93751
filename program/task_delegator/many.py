"""Delegate many tasks at once: retrieved together, and the LM is asked for several at a time."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .consultation import Consultation
from .decision import (
    Coverage,
    LMShareCap,
    LMVerdict,
    allowed_by_share,
    asks_lm,
    least_certain,
    lm_decided,
)
from .delegation import Delegation
from .errors import DelegatorError, InputError, LMError
from .knobs import Knobs, KnobValues
from .lm import is_packaged
from .registry import permission_set
from .retrieval import Asked, Retrieval, Retrieve, score_many
from .settings import check_task
from .stages import guessed_parts

_AT_ONCE = 128  # tasks that are decided together, so that the first come soon
_NUMBERS = 2**17  # agents' scores of these, where no LM is waited for: memory is used again
_RANKED = 1024  # tasks of which the LM is asked about the least certain
_HELD = 2**20  # agents' scores that are held for that, over all of these tasks: some 64 MB
LM_THREADS = 8  # calls of an LM that are waited for at a time


@dataclass(frozen=True, slots=True)
class _Group:
    """Tasks that are decided together.

    Attributes:
        found: what was retrieved for each, or how that failed.
        verdicts: whether the LM may be asked about each; None where its own delegation says.
        seconds: that each took until here, on average.
    """

    found: Sequence[Retrieval | DelegatorError]
    verdicts: Sequence[LMVerdict | None]
    seconds: float


class DelegatesMany:
    """What a ``Delegator`` does for many tasks."""

    if TYPE_CHECKING:  # the program's own
        knobs: Knobs
        retrieve: Retrieve
        _lm_cap: LMShareCap
        coverage: Callable[..., Coverage]
        own_numbers: Callable[..., KnobValues]
        judge: Callable[..., Consultation]
        numbers: Callable[..., KnobValues]
        given_lm: Callable[[], Any]

    def delegate_many(
        self,
        tasks: Sequence[str],
        permissions: Collection[str] | None = None,
        threads: int = LM_THREADS,
    ) -> list[Delegation]:
        """Return what the program would answer to each task, sooner than one after the other.

        A task's ``usage.seconds`` are its own and its share of what was done for all. With
        ``max_lm_share``, the LM is asked about no more than that share of these tasks: the least
        certain of some thousand at a time.

        Args:
            tasks: as for ``forward``.
            permissions: as for ``forward``.
            threads: tasks that wait for an LM at a time.

        Raises:
            InputError: a task is no text, empty or too long; nothing was begun.
            LMError: as for ``forward``; the other tasks were finished.
            TypeError: it is one text, not a list of some.
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
        *,
        max_lm_calls: int | None = None,
        arriving: bool = False,
    ) -> Generator[Delegation | DelegatorError, None, None]:
        """Yield ``delegate_many``'s answers as they come, in order; a task that fails, its error.

        Args:
            tasks, permissions, threads: as for ``delegate_many``.
            max_lm_calls: begin no further task with the LM after so many calls; one task is then
                decided after the other.
            arriving: the tasks are some of a service's: ``max_lm_share`` holds over all that
                came, as for single calls, and not within these.

        Raises:
            InputError: a task is no text, empty or too long; nothing was begun.
            EmbedderError: it refuses every task, as where it cannot be reached.
        """
        if isinstance(tasks, str | bytes):
            raise TypeError(f"tasks must be a list of texts, not the one {tasks!r:.80}")
        check_tasks(tasks)
        knobs = self.knobs.values
        permitted = permission_set(permissions)
        asked = [Asked(task, permitted) for task in tasks]
        found = score_many(self.retrieve, asked, knobs, partial(guessed_parts, knobs=knobs))
        may_ask = self.may_ask_lm(permissions)
        waits = threads > 1 and max_lm_calls is None and may_ask
        capped = self._lm_cap.share is not None and not arriving and may_ask
        at_once = _AT_ONCE if waits else min(max(_NUMBERS // self._agents(), 1), _AT_ONCE)
        groups = self._groups(found, len(tasks), at_once)
        if capped:
            groups = self._capped_groups(found, tasks, permissions)
        if not waits:
            return self._decide_in_turn(tasks, permissions, groups, max_lm_calls)
        return self._decide_each(tasks, permissions, groups, threads)

    def _agents(self) -> int:
        """Return how many agents there are, 1 where all were removed."""
        return max(len(self.retrieve.library.registry), 1)

    def may_ask_lm(self, permissions: Collection[str] | None = None) -> bool:
        """Tell whether a task could need the LM, without looking for the one that a spec names."""
        asking = self.numbers(permissions).lm
        asked = asking.gate is not None or asking.ask_settled
        return asked and self.given_lm() is not None

    def needs_lm(self, advice: Consultation, knobs: KnobValues) -> bool:
        """Tell whether the LM is to be asked about a task, where there is one.

        The packaged one is not where nobody measured what its word is worth.
        """
        gate = advice.gate
        if not asks_lm(gate.certainty, knobs.lm, gate.settled) or (lm := self.given_lm()) is None:
            return False
        return not (advice.coverage.takes_lm_at_its_word and is_packaged(lm))

    def _groups(
        self, found: Iterator[Retrieval | DelegatorError], number: int, at_once: int
    ) -> Iterator[_Group]:
        """Yield tasks that are decided together, as they were retrieved."""
        for _ in range(0, number, at_once):
            started = perf_counter()
            some = list(islice(found, at_once))
            yield _Group(some, [None] * len(some), (perf_counter() - started) / len(some))

    def _capped_groups(
        self,
        scored: Iterator[Retrieval | DelegatorError],
        tasks: Sequence[str],
        permissions: Collection[str] | None,
    ) -> Iterator[_Group]:
        """Yield larger groups, of which the least certain tasks may be asked.

        Of all tasks up to the end of a group, no more than ``max_lm_share`` may.
        """
        at_once = max(_AT_ONCE, min(_RANKED, _HELD // self._agents()))
        share, asked, seen = self._lm_cap.share or 0.0, 0, 0
        while seen < len(tasks):
            started = perf_counter()
            batch = tasks[seen : seen + at_once]
            rank = partial(self._ranked, knobs=self.numbers(permissions))
            some = [*map(rank, batch, islice(scored, len(batch)))]
            seen += len(some)
            certainties = self._certainties(some, permissions)
            chosen = least_certain(certainties, allowed_by_share(share, seen) - asked)
            asked += len(chosen)
            verdicts: list[LMVerdict | None] = [
                "ask" if place in chosen else "share" for place in range(len(some))
            ]
            yield _Group(some, verdicts, (perf_counter() - started) / len(some))

    def _ranked(
        self, task: str, scored: Retrieval | DelegatorError, knobs: KnobValues
    ) -> Retrieval | DelegatorError:
        """Return what is retrieved for a task by its scores, or how that failed: others go on."""
        if isinstance(scored, DelegatorError):
            return scored
        try:
            return self.retrieve(task=task, knobs=knobs, found=scored)
        except DelegatorError as error:
            return error

    def _certainties(
        self, found: Sequence[Retrieval | DelegatorError], permissions: Collection[str] | None
    ) -> list[float | None]:
        """Return how certain each decision without the LM is; None where no LM is needed."""
        knobs = self.numbers(permissions)

        def certainty(own: Retrieval | DelegatorError) -> float | None:
            if isinstance(own, DelegatorError) or own.query is None:
                return None
            coverage = self.coverage(permissions, own.agents[0], own.candidates)
            numbers = self.own_numbers(knobs, coverage)
            advice = self.judge(own, own.query, numbers, coverage)
            return advice.gate.certainty if self.needs_lm(advice, numbers) else None

        return [certainty(own) for own in found]

    def _decide_each(
        self,
        tasks: Sequence[str],
        permissions: Collection[str] | None,
        groups: Iterator[_Group],
        threads: int,
    ) -> Generator[Delegation | DelegatorError, None, None]:
        left = iter(tasks)
        for group in groups:
            with ThreadPoolExecutor(threads) as pool:
                decided = [
                    pool.submit(
                        copy_context().run,
                        self._decide, next(left), permissions, own, verdict, group.seconds,
                    )
                    for own, verdict in zip(group.found, group.verdicts, strict=True)
                ]  # fmt: skip
                try:
                    for answer in decided:
                        yield answer.result()
                finally:
                    pool.shutdown(cancel_futures=True)  # nobody waits for the others

    def _decide_in_turn(
        self,
        tasks: Sequence[str],
        permissions: Collection[str] | None,
        groups: Iterator[_Group],
        max_lm_calls: int | None,
    ) -> Generator[Delegation | DelegatorError, None, None]:
        left, calls = iter(tasks), 0
        for group in groups:
            for own, verdict in zip(group.found, group.verdicts, strict=True):
                if max_lm_calls is not None and calls >= max_lm_calls:
                    verdict = verdict if verdict == "share" else "calls"
                answer = self._decide(next(left), permissions, own, verdict, group.seconds)
                calls += self._lm_calls(answer)
                yield answer

    def _lm_calls(self, answer: Delegation | DelegatorError) -> int:
        """Return how many calls a task took; 1 of one that failed where the LM may be why."""
        if isinstance(answer, Delegation):
            return answer.usage.lm_calls
        writes = self.knobs.values.expansion  # what it wrote is retrieved, which may fail
        return int(isinstance(answer, LMError) or writes.phrasings > 0 or writes.hyde)

    def _decide(
        self,
        task: str,
        permissions: Collection[str] | None,
        found: Retrieval | DelegatorError,
        verdict: LMVerdict | None,
        share: float,
    ) -> Delegation | DelegatorError:
        if isinstance(found, DelegatorError):
            return found
        program: Any = self  # a module: it can be called
        try:
            with lm_decided(verdict):
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
