"""A folder that one process at a time works in."""

import fcntl
from pathlib import Path
from typing import TextIO

from task_delegator.errors import InputError


def hold(folder: Path, out: Path, what: str) -> TextIO:
    """Make a folder and hold it until the file that is returned is closed, or the process ends.

    Args:
        folder: where the lock stands.
        out: where the result will stand, for the message.
        what: is being made: ``program``.

    Raises:
        InputError: another process holds it, or it cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot be used: {error.strerror}; name another --out") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a process that dies lets go of it
    except BlockingIOError:
        lock.close()
        raise InputError(
            f"{out}: another process is making this {what}; name another --out"
        ) from None
    return lock
