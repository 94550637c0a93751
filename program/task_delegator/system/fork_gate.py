"""Forks wait for matrix products: BLAS with several threads leaves its locks shut in a child.

OpenBLAS holds a lock of its own through a product of matrices and stops its threads at a fork.
A child that is forked meanwhile finds the lock shut for good, and its next product never ends.
A fork passes the gate before it takes a lock: else two threads that fork wait for each other.
"""

import concurrent.futures.thread  # noqa: F401  # at a fork it takes a lock: behind this gate
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_SECONDS = 60.0  # that a fork waits: a product that hangs must not hang who forks


class _Gate:
    """How many threads compute, and whether somebody forks."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.computing: dict[int, int] = {}  # depth by thread
        self.waiting: set[int] = set()  # threads at a fork: none of them is in a product
        self.forking = False
        self.locks: list[threading.Lock] = []  # that a fork holds

    def enter(self) -> None:
        with self.changed:
            own = threading.get_ident()
            while self.forking and own not in self.computing:
                self.changed.wait()
            self.computing[own] = self.computing.get(own, 0) + 1

    def leave(self) -> None:
        with self.changed:
            own = threading.get_ident()
            self.computing[own] -= 1
            if not self.computing[own]:
                del self.computing[own]
                self.changed.notify_all()

    def shut(self) -> None:
        """Wait for the products of the other threads, and let none begin."""
        self.changed.acquire()
        self.waiting.add(threading.get_ident())
        self.changed.notify_all()  # who forks already need not wait for this thread
        self.changed.wait_for(lambda: not self.forking, _MOST_SECONDS)
        self.forking = True
        self.changed.wait_for(lambda: not self.computing.keys() - self.waiting, _MOST_SECONDS)
        for lock in self.locks:
            lock.acquire()

    def open(self) -> None:
        self._release()
        self.waiting.discard(threading.get_ident())
        self.forking = False
        self.changed.notify_all()
        self.changed.release()

    def open_in_child(self) -> None:
        """Forget the threads of the parent: none of them is here."""
        self._release()
        own = threading.get_ident()
        self.changed = threading.Condition()
        self.computing = {own: self.computing[own]} if own in self.computing else {}
        self.waiting = set()
        self.forking = False

    def _release(self) -> None:
        for lock in reversed(self.locks):
            lock.release()


_gate = _Gate()


@contextmanager
def no_fork() -> Iterator[None]:
    """Let a fork by another thread wait until the block ends; blocks may run side by side."""
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


def hold_at_forks(lock: threading.Lock) -> None:
    """Let every fork wait for a lock, so that no child finds it shut."""
    with _gate.changed:  # a fork that is under way lets go what it took
        _gate.locks.append(lock)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(
        before=_gate.shut, after_in_parent=_gate.open, after_in_child=_gate.open_in_child
    )
