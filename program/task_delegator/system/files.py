"""File helpers: read JSON, atomic writes, digests, the cache folder."""

import ctypes
import errno
import glob
import hashlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from ..errors import InputError
from .json_text import parse_json
from .locks import marked_alive, one_at_a_time, remove_unless_held

_OPEN = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # files that the process was given open
PARTIAL = ".partial"  # how the name of a file ends that is being written
_MOST_BYTES = 200_000_000  # of a JSON file: 10,000 agents take a tenth; more takes minutes
_HERE = -100  # AT_FDCWD: paths are those of this process
_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP}  # a device, or a folder on some file systems
_CANNOT_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}  # by kernel or file system


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; a byte order mark before it is skipped.

    Raises:
        InputError: it is missing, no regular file, unreadable or no JSON; the line says where.
    """
    return parse_json(read_text(path), str(path))


def read_text(path: Path, most: int = _MOST_BYTES) -> str:
    """Return what a file of UTF-8 holds; a byte order mark before it is skipped.

    Args:
        path: of the file.
        most: bytes that it may hold.

    Raises:
        InputError: it is missing, no regular file, too large, unreadable or no UTF-8.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return what a regular file holds, without waiting for more, as a file of /proc may.

    Args:
        path: of the file.
        most: bytes that it may hold; None for any number.

    Raises:
        InputError: it is no regular file, or holds more.
        OSError: it cannot be read.
    """
    require_regular(path)
    # A pipe may take the file's place meanwhile. What was handed over open is waited for.
    at_once = 0 if str(path).startswith(_OPEN) else getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | at_once)) as file:
        content: bytes | None = file.read() if most is None else file.read(most + 1)
    if content is None:
        raise InputError(f"{path}: gives nothing now; copy what it gives to a file")
    if most is not None and len(content) > most:
        raise InputError(f"{path}: has more than {most:,} bytes; split it, or leave something out")
    return content


def is_file(path: Path) -> bool:
    """Tell whether a path is that of a file; what cannot be a path is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long
        return False


def require_regular(path: Path) -> None:
    """Refuse a pipe, a socket or a device, where reading may wait for ever.

    What is handed over as an open file is read: ``/dev/stdin``, a shell's ``<(...)``. So is what
    is missing or a folder, for the reader to report.

    Raises:
        InputError: it is such a file.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not (S_ISREG(mode) or S_ISDIR(mode) or str(path).startswith(_OPEN)):
        raise InputError(f"{path}: not a regular file; name one, or copy what it gives to one")


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new, never a part.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a file in one step, text as UTF-8.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path to write instead of a file, which is replaced when the block ends well.

    Every writer gets a path of its own, in the same folder, so that several do not mix. A file
    that is replaced hands on its mode. What was written is on the disk before it takes the place.
    What a killed writer of the same file left is removed. Of a link the target is replaced.

    Raises:
        OSError: the file cannot be replaced, as it is a pipe or a device; what was there stays.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        number = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(number, "not a regular file; name one")
    for left in path.parent.glob(f"{glob.escape(path.name)}.????????{PARTIAL}"):
        remove_unless_held(left)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    mode = path.stat().st_mode & 0o7777 if path.exists() else None
    try:
        with marked_alive(partial, 0o666 if mode is None else 0o600):
            yield partial
            flush(partial)
            if mode is not None:
                partial.chmod(mode)
            partial.replace(path)
            flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk and survive a power failure.

    Raises:
        OSError: they cannot be written, as where a quota is used up.
    """
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        flush_open(opened)
    finally:
        os.close(opened)


def flush_open(opened: int) -> None:
    """Wait until an open file is on the disk, where its kind can be waited for.

    Raises:
        OSError: it cannot be written.
    """
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder, which takes the place of another when the block ends well.

    One process at a time replaces a folder. What killed ones left beside it is removed.

    Args:
        target: the folder, which need not be there; where it is a link, what it leads to.

    Raises:
        InputError: the place cannot be written.
        OSError: it cannot be replaced; what was there stays.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(target.with_name(f".{target.name}.lock")):
        _recover(target)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=PARTIAL, dir=target.parent))
        try:
            yield fresh
            for written in (*fresh.rglob("*"), fresh):
                flush(written)
            fresh.chmod(0o755)
            replace_folder(fresh, target)
            flush(target.parent)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def replace_folder(fresh: Path, target: Path) -> None:
    """Put a folder in another's place: at every instant the old one is there or the new.

    Linux and macOS exchange the two in one step. Elsewhere, and on file systems that cannot,
    there is an instant without either; the old one then lies beside under a name that
    ``replacing_folder`` knows, and comes back with the next replacement.

    Args:
        fresh: the new folder, on the same file system; afterwards it is not there.
        target: the folder to replace, which need not be there.

    Raises:
        OSError: it cannot be replaced; what was there stays.
    """
    if not target.exists():
        fresh.replace(target)
    elif _exchange(fresh, target):
        shutil.rmtree(fresh, ignore_errors=True)
    else:
        retired = _retired(target)
        target.replace(retired)
        try:
            fresh.replace(target)
        except OSError:
            retired.replace(target)
            raise
        shutil.rmtree(retired, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; return whether that is possible here."""
    calls = {
        "linux": ("renameat2", (_HERE, os.fsencode(one), _HERE, os.fsencode(other), 2)),
        "darwin": ("renamex_np", (os.fsencode(one), os.fsencode(other), 2)),
    }
    if sys.platform not in calls:
        return False
    name, arguments = calls[sys.platform]
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if call is None:  # an older C library
        return False
    if call(*arguments) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _retired(target: Path) -> Path:
    return target.with_name(f".{target.name}.retired{PARTIAL}")


def _recover(target: Path) -> None:
    """Undo what processes that were killed while they replaced a folder left behind."""
    if not target.exists() and _retired(target).exists():
        _retired(target).replace(target)
    fresh = target.parent.glob(f".{glob.escape(target.name)}.????????{PARTIAL}")
    for left in (*fresh, _retired(target)):
        shutil.rmtree(left, ignore_errors=True)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder of this package in the user's cache, which need not be there.

    Raises:
        RuntimeError: the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "task-delegator"


def private_cache_folder() -> Path:
    """Return the same folder, made where it is missing, which only the user may enter.

    Raises:
        RuntimeError: the user has no home.
        OSError: it cannot be made or closed to others.
    """
    folder = cache_folder()
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder
