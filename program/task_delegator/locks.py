"""Locks: of files among processes, and of threads, which a forked child finds open."""

import errno
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO
from weakref import WeakSet

from .errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# What a file system answers that knows no locks: files there are as on Windows.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
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
    if "tqdm" in sys.modules:  # bm25s takes its lock, shown or not, for every text
        bars, lock = [sys.modules["tqdm"].tqdm], threading.RLock()
        while bars:  # each class may hold one of its own
            bar = bars.pop()
            bar.set_lock(lock)
            bars += bar.__subclasses__()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)


@contextmanager
def held(path: Path, busy: str = "") -> Iterator[IO[bytes]]:
    """Yield a file, open to read and to append, that no other process or thread holds meanwhile.

    It is made where it is missing, and may be renamed or removed in the block. A killed process
    lets go. Where the system has no such locks, the file is only opened.

    Args:
        path: of the file.
        busy: what to say where another holds it; where empty, it is waited for.

    Raises:
        InputError: ``busy``, where another holds it.
        OSError: it cannot be opened.
    """
    while True:
        file = path.open("a+b", buffering=0)
        try:
            locked = _lock(file, busy)
            if not locked or _is_at(path, file):
                break
        except BaseException:
            file.close()
            raise
        file.close()  # whoever held it has renamed or removed it
    try:
        yield file
    finally:
        if fcntl is not None and locked:  # a forked child may have it open still
            fcntl.flock(file, fcntl.LOCK_UN)
        file.close()


@contextmanager
def one_at_a_time(path: Path, busy: str = "") -> Iterator[None]:
    """Let one process or thread at a time into the block; the file that says so is removed.

    Args:
        path: of that file.
        busy: what to say where another is in the block; where empty, it is waited for.

    Raises:
        InputError: ``busy``, where another is in it, or the file cannot be made.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(held(path, busy))
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(file: IO[bytes], busy: str) -> bool:
    """Lock an open file; return whether that is possible here."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
    except BlockingIOError:
        raise InputError(busy) from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _is_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
