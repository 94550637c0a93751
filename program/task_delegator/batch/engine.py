"""What delegates the tasks of a batch: one program, several processes, an LM of so many calls."""

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from ..delegation import Delegation
from ..delegator import Delegator
from ..errors import DelegatorError, InputError

Row = dict[str, Any]
Answers = Iterable[Row | DelegatorError]
Delegate = Callable[[Sequence[str]], Answers]

# Tasks that a process is given at a time: of more, more are read in one call of the encoder.
_LEAST, _MOST = 128, 1024
_TURNS = 8  # chunks a process at least, so that all end at about the same time
_AHEAD = 2  # chunks per process that are given out before the first is done
_program: Any = None  # of a worker's process


def one_process(
    delegator: Delegator, permissions: Collection[str] | None, max_lm_calls: int | None = None
) -> Delegate:
    """Return what delegates tasks in this process.

    Args:
        delegator: the program.
        permissions: the caller's.
        max_lm_calls: begin no further task with the LM after so many calls.
    """
    return lambda tasks: map(
        row_of, delegator.delegate_each(tasks, permissions, max_lm_calls=max_lm_calls)
    )


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
        size = chunk_size(len(tasks), workers)
        chunks = [tasks[start : start + size] for start in range(0, len(tasks), size)]
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


def chunk_size(tasks: int, workers: int) -> int:
    """Return how many tasks a process is given at a time."""
    return min(max(tasks // (_TURNS * workers), _LEAST), _MOST)


def row_of(answer: Delegation | DelegatorError) -> Row | DelegatorError:
    """Return a delegation as a row, an error as it is.

    A task that a cap kept the LM from, or that the LM failed at, says ``"second_pass": true``.
    """
    if not isinstance(answer, Delegation):
        return answer
    evidence = answer.evidence
    missed = evidence.gate.withheld is not None or evidence.lm_failure is not None
    return answer.to_dict() | ({"second_pass": True} if missed else {})


def _begin(load: Callable[[], Delegator]) -> None:
    global _program  # a process of a pool has no other place
    Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    _program = load()


def _end_with_parent() -> None:
    """End when the process that began this one has ended, however that was: nobody reads on."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _work(tasks: Sequence[str], permissions: Collection[str] | None) -> list[Row | DelegatorError]:
    return [row_of(answer) for answer in _program.delegate_each(tasks, permissions)]
