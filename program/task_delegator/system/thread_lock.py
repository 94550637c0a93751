"""A lock of threads that a forked child finds open."""

import os
import sys
import threading
from weakref import WeakSet

_all: "WeakSet[Lock]" = WeakSet()


class Lock:
    """A lock of threads that may be taken again by the thread that holds it.

    A child that is forked while another thread holds it finds it open: that thread is not there.
    What it guards must be whole at every instant. A copy of it, and what is unpickled, is a lock
    of its own.
    """

    def __init__(self) -> None:
        self._turn = threading.RLock()
        _all.add(self)

    def __enter__(self) -> None:
        self._turn.acquire()

    def __exit__(self, *_: object) -> None:
        self._turn.release()

    def __reduce__(self) -> "tuple[type[Lock], tuple[()]]":
        return Lock, ()

    def renew(self) -> None:
        """Open the lock in a forked child, unless the thread that forked holds it."""
        if self._turn.acquire(blocking=False):
            self._turn.release()
        else:
            self._turn = threading.RLock()


def _forked() -> None:
    for lock in _all:
        lock.renew()
    if "tqdm" in sys.modules:  # a thread of the parent may hold the lock of its bars
        bars, lock = [sys.modules["tqdm"].tqdm], threading.RLock()
        while bars:  # each class may hold one of its own
            bar = bars.pop()
            bar.set_lock(lock)
            bars += bar.__subclasses__()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)
