"""What delegates the tasks of a batch: one program, several processes, an LM of so many calls."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from copy import deepcopy
from multiprocessing import get_context
from typing import Any

from ..decision import asks_lm
from ..delegation import Delegation
from ..delegator import Delegator
from ..errors import DelegatorError, InputError

Row = dict[str, Any]
Answers = Iterable[Row | DelegatorError]
Delegate = Callable[[Sequence[str]], Answers]

_CHUNK = 128  # tasks that a process is given at a time
_AHEAD = 2  # chunks per process that are given out before the first is done
_program: Any = None  # of a worker's process


def one_process(delegator: Delegator, permissions: Collection[str] | None) -> Delegate:
    """Return what delegates tasks in this process."""
    return lambda tasks: map(row_of, delegator.delegate_each(tasks, permissions))


def capped(delegator: Delegator, permissions: Collection[str] | None, most: int) -> Delegate:
    """Return what asks the LM no more once so many calls were made.

    A task that is begun is finished. Those that would have been asked about after that are
    delegated without it, and say ``"second_pass": true``.
    """
    alone = deepcopy(delegator)
    alone._lm = None
    for predict in alone.predictors():
        predict.lm = None
    knobs = delegator.knobs.values.lm

    def delegate(tasks: Sequence[str]) -> Iterator[Row | DelegatorError]:
        calls = done = 0
        if most > 0:
            # One after the other: none is under way when the last call is made.
            with closing(delegator.delegate_each(tasks, permissions, threads=1)) as answers:
                for answer in answers:
                    done += 1
                    calls += answer.usage.lm_calls if isinstance(answer, Delegation) else 1
                    yield row_of(answer)
                    if calls >= most:
                        break
        for answer in alone.delegate_each(tasks[done:], permissions):
            row = row_of(answer)
            if isinstance(answer, Delegation) and isinstance(row, dict) and answer.evidence.ranking:
                gate = answer.evidence.gate
                row["second_pass"] = asks_lm(gate.certainty, knobs, gate.settled)
            yield row

    return delegate


def several_processes(
    load: Callable[[], Delegator], permissions: Collection[str] | None, workers: int
) -> Delegate:
    """Return what delegates tasks in processes that each load the program once.

    Args:
        load: makes the program; can be pickled.
        permissions: the caller's.
        workers: processes.
    """

    def delegate(tasks: Sequence[str]) -> Iterator[Row | DelegatorError]:
        chunks = iter([tasks[i : i + _CHUNK] for i in range(0, len(tasks), _CHUNK)])
        waiting: deque[Future[list[Row | DelegatorError]]] = deque()
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (load,))
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_work, chunk, permissions))
                if len(waiting) >= _AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise InputError(
                "a worker ended before its time, as for want of memory; the same command goes on"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)

    return delegate


def row_of(answer: Delegation | DelegatorError) -> Row | DelegatorError:
    """Return a delegation as a row, an error as it is."""
    return answer.to_dict() if isinstance(answer, Delegation) else answer


def _begin(load: Callable[[], Delegator]) -> None:
    global _program  # a process of a pool has no other place
    _program = load()


def _work(tasks: Sequence[str], permissions: Collection[str] | None) -> list[Row | DelegatorError]:
    return [row_of(answer) for answer in _program.delegate_each(tasks, permissions)]
