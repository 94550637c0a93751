"""Do something while the processor that calls waits for a library of another language."""

import os
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")
_helpers: dict[int, ThreadPoolExecutor] = {}  # by process: a forked child has no thread of these


def beside(call: Callable[[], _A], other: Callable[[], _B]) -> tuple[_A, _B]:
    """Return what two functions find, the other one's by a second thread where that has time.

    Args:
        call: lets Python go on meanwhile, as it waits or computes in another language.
        other: what takes less time.
    """
    try:
        begun = _helper().submit(other)
    except RuntimeError:  # Python ends: no thread begins any more
        return call(), other()
    try:
        found = call()
    except BaseException:
        begun.cancel()
        raise
    begun.cancel()  # what has not begun is done sooner here
    try:
        return found, begun.result()
    except CancelledError:
        return found, other()


def _helper() -> ThreadPoolExecutor:
    process = os.getpid()
    if process not in _helpers:
        _helpers[process] = ThreadPoolExecutor(1, thread_name_prefix="beside")
    return _helpers[process]
