"""File helpers: read JSON, atomic writes, digests, the cache folder."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import InputError

PARTIAL = ".partial"  # how the name of a file ends that is being written


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; a byte order mark before it is skipped.

    Raises:
        InputError: it is missing, unreadable or no JSON; the line says where.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


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
    that is replaced hands on its mode.

    Raises:
        OSError: the file cannot be replaced; what was there stays.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    mode = path.stat().st_mode & 0o7777 if path.exists() else None
    try:
        partial.touch(0o666 if mode is None else 0o600)
        yield partial
        if mode is not None:
            partial.chmod(mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
