"""Locks of files, which processes and threads take turns at."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# What a file system answers that knows no locks: files there are as on Windows.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF}


@contextmanager
def held(path: Path, busy: str = "", mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Yield a file, open to read and to append, that no other process or thread holds meanwhile.

    It is made where it is missing, and may be renamed or removed in the block. A killed process
    lets go. Where the system has no such locks, the file is only opened.

    Args:
        path: of the file.
        busy: what to say where another holds it; where empty, it is waited for.
        mode: of the file, where it is made.

    Raises:
        InputError: ``busy``, where another holds it.
        OSError: it cannot be opened.
    """
    while True:
        file = open(path, "a+b", 0, opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
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


def hold(file: IO[Any], busy: str) -> None:
    """Hold an open file until it is closed or the process ends; close it where that fails.

    Unlike ``held`` it refuses where files cannot be locked: for work that two must not do.

    Args:
        file: open for writing.
        busy: what to say where another process holds it.

    Raises:
        InputError: another process holds it, or it cannot be locked.
    """
    try:
        if not _lock(file, busy):
            raise InputError(
                f"{file.name}: this system, or its disk, does not lock files as POSIX systems do; "
                "run it on Linux, macOS or WSL, on a disk of that machine"
            )
    except OSError as error:
        file.close()
        raise InputError(f"{file.name}: cannot be locked: {error.strerror}") from error
    except InputError:
        file.close()
        raise


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


@contextmanager
def marked_alive(path: Path, mode: int) -> Iterator[None]:
    """Make a file and hold it, so that ``remove_unless_held`` of others leaves it alone."""
    if fcntl is None:  # Windows would not let it be renamed while it is open
        path.touch(mode)
        yield
    else:
        with held(path, mode=mode):
            yield


def remove_unless_held(path: Path) -> None:
    """Remove a file that a killed process left; leave it where that cannot be known."""
    if fcntl is None:
        return
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _lock(file: IO[Any], busy: str) -> bool:
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
