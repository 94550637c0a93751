"""Delegate many tasks at once: retrieved together, and the LM is asked for several at a time."""

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from time import perf_counter

from .decision import LMVerdict, allowed_by_share, least_certain, lm_decided
from .delegation import Delegation
from .errors import DelegatorError, InputError, LMError
from .knobs import KnobValues
from .program import Program
from .registry import permission_set
from .retrieval import Asked, Retrieval, score_many
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


def delegate_each(
    program: Program,
    tasks: Iterable[str],
    permissions: Collection[str] | None,
    threads: int,
    *,
    max_lm_calls: int | None,
    arriving: bool,
) -> Generator[Delegation | DelegatorError, None, None]:
    """Yield what the program answers to each task; see ``Delegator.delegate_each``."""
    if isinstance(tasks, str | bytes):
        raise TypeError(f"tasks must be a list of texts, not the one {tasks!r:.80}")
    tasks = list(tasks)
    check_tasks(tasks)
    knobs = program.knobs.values
    permitted = permission_set(permissions)
    asked = [Asked(task, permitted) for task in tasks]
    found = score_many(program.retrieve, asked, knobs, partial(guessed_parts, knobs=knobs))
    may_ask = program.may_ask_lm(permissions)
    waits = threads > 1 and max_lm_calls is None and may_ask
    capped = program.max_lm_share is not None and not arriving and may_ask
    at_once = _AT_ONCE if waits else min(max(_NUMBERS // _agents(program), 1), _AT_ONCE)
    if capped:
        groups = _capped_groups(program, found, tasks, permissions)
    else:
        groups = _groups(found, len(tasks), at_once)
    if not waits:
        return _decide_in_turn(program, tasks, permissions, groups, max_lm_calls)
    return _decide_each(program, tasks, permissions, groups, threads)


def _agents(program: Program) -> int:
    """Return how many agents there are, 1 where all were removed."""
    return max(len(program.retrieve.library.registry), 1)


def _groups(
    found: Iterator[Retrieval | DelegatorError], number: int, at_once: int
) -> Iterator[_Group]:
    """Yield tasks that are decided together, as they were retrieved."""
    for _ in range(0, number, at_once):
        started = perf_counter()
        some = list(islice(found, at_once))
        yield _Group(some, [None] * len(some), (perf_counter() - started) / len(some))


def _capped_groups(
    program: Program,
    scored: Iterator[Retrieval | DelegatorError],
    tasks: Sequence[str],
    permissions: Collection[str] | None,
) -> Iterator[_Group]:
    """Yield larger groups, of which the least certain tasks may be asked.

    Of all tasks up to the end of a group, no more than ``max_lm_share`` may.
    """
    at_once = max(_AT_ONCE, min(_RANKED, _HELD // _agents(program)))
    share, asked, seen = program.max_lm_share or 0.0, 0, 0
    while seen < len(tasks):
        started = perf_counter()
        batch = tasks[seen : seen + at_once]
        rank = partial(_ranked, program, knobs=program.knobs_for(permissions))
        some = [*map(rank, batch, islice(scored, len(batch)))]
        seen += len(some)
        certainties = _certainties(program, some, permissions)
        chosen = least_certain(certainties, allowed_by_share(share, seen) - asked)
        asked += len(chosen)
        verdicts: list[LMVerdict | None] = [
            "ask" if place in chosen else "share" for place in range(len(some))
        ]
        yield _Group(some, verdicts, (perf_counter() - started) / len(some))


def _ranked(
    program: Program, task: str, scored: Retrieval | DelegatorError, knobs: KnobValues
) -> Retrieval | DelegatorError:
    """Return what is retrieved for a task by its scores, or how that failed: others go on."""
    if isinstance(scored, DelegatorError):
        return scored
    try:
        return program.retrieve(task=task, knobs=knobs, found=scored)
    except DelegatorError as error:
        return error


def _certainties(
    program: Program,
    found: Sequence[Retrieval | DelegatorError],
    permissions: Collection[str] | None,
) -> list[float | None]:
    """Return how certain each decision without the LM is; None where no LM is needed."""
    knobs = program.knobs_for(permissions)

    def certainty(own: Retrieval | DelegatorError) -> float | None:
        if isinstance(own, DelegatorError) or own.query is None:
            return None
        coverage = program.coverage(permissions, own.agents[0], own.candidates)
        numbers = program.knobs_for_task(knobs, coverage)
        advice = program.judge(own, own.query, numbers, coverage)
        return advice.gate.certainty if program.needs_lm(advice, numbers) else None

    return [certainty(own) for own in found]


def _decide_each(
    program: Program,
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
                    _decide,
                    program,
                    next(left),
                    permissions,
                    own,
                    verdict,
                    group.seconds,
                )
                for own, verdict in zip(group.found, group.verdicts, strict=True)
            ]
            try:
                for answer in decided:
                    yield answer.result()
            finally:
                pool.shutdown(cancel_futures=True)  # nobody waits for the others


def _decide_in_turn(
    program: Program,
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
            answer = _decide(program, next(left), permissions, own, verdict, group.seconds)
            calls += _lm_calls(program, answer)
            yield answer


def _lm_calls(program: Program, answer: Delegation | DelegatorError) -> int:
    """Return how many calls a task took; 1 of one that failed where the LM may be why."""
    if isinstance(answer, Delegation):
        return answer.usage.lm_calls
    writes = program.knobs.values.expansion  # what it wrote is retrieved, which may fail
    return int(isinstance(answer, LMError) or writes.phrasings > 0 or writes.hyde)


def _decide(
    program: Program,
    task: str,
    permissions: Collection[str] | None,
    found: Retrieval | DelegatorError,
    verdict: LMVerdict | None,
    share: float,
) -> Delegation | DelegatorError:
    if isinstance(found, DelegatorError):
        return found
    try:
        with lm_decided(verdict):
            delegation = program(task, permissions, found)
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
