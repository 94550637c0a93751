"""Persistent key-value cache (SQLite) in the user's cache folder."""

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

from ..errors import DelegatorError
from ..system import cache_folder, hold_at_forks, one_at_a_time, private_cache_folder
from ..text import shown_safely

T = TypeVar("T")
_log = logging.getLogger(__name__)
_ROWS = 500  # read at once; SQLite takes 999 parameters or more
_WAIT = 5.0  # seconds for another process that writes
_DAMAGES = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TABLE = "CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
_OLDER_HALF = "DELETE FROM kept WHERE rowid <= (SELECT (MIN(rowid) + MAX(rowid)) / 2 FROM kept)"

# SQLite has locks of its own, which a forked child must not find held: a fork waits its turn.
_turn = Lock()
hold_at_forks(_turn)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of the cache: its name, its size in bytes, and its entries where it has such."""

    name: str
    size: int
    entries: int | None


def kept_files() -> list[KeptFile]:
    """Return what the user's cache holds, by name.

    Raises:
        OSError, RuntimeError: it cannot be read, or the user has no home.
    """
    paths = sorted(path for path in cache_folder().glob("*") if path.is_file())
    return [KeptFile(path.name, path.stat().st_size, _entries(path)) for path in paths]


def clear_cache() -> None:
    """Delete every file of the user's cache.

    Raises:
        OSError, RuntimeError: a file cannot be deleted, or the user has no home.
    """
    for path in cache_folder().glob("*"):
        if path.is_file() or path.is_fifo():
            path.unlink(missing_ok=True)


def _entries(path: Path) -> int | None:
    """Return how many values a file of vectors holds; None where it is none, or damaged."""
    if path.suffix != ".sqlite":
        return None
    try:
        return _connected(path, lambda s: s.execute("SELECT COUNT(*) FROM kept").fetchone()[0])
    except sqlite3.Error:
        return None


class VectorCache:
    """Bytes by key, in an SQLite file of the user's cache that only the user may read.

    Processes share it; when it outgrows its limit, the older half goes. A damaged file is made
    anew, with a warning. Where it cannot be used, one warning says so and nothing is kept.

    Args:
        name: of the file.
        limit: bytes that it may hold.
        replaces: name of an older version's file, which is deleted.
    """

    def __init__(self, name: str, limit: int = 2**30, replaces: str = "") -> None:
        self._name = name
        self._limit = limit
        self._replaces = replaces
        self._usable = True

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of the keys that are there."""

        def select(store: sqlite3.Connection) -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = {}
            for start in range(0, len(keys), _ROWS):
                asked = keys[start : start + _ROWS]
                places = ", ".join("?" * len(asked))
                found.update(
                    store.execute(f"SELECT key, value FROM kept WHERE key IN ({places})", asked)
                )
            return found

        def work() -> dict[bytes, bytes]:
            path = cache_folder() / self._name
            filled = path.is_file() and path.stat().st_size  # a new one has no table yet
            return _connected(path, select) if filled else {}

        return self._tried(work) or {}

    def write(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values, all or none of them."""

        def insert(store: sqlite3.Connection) -> None:
            with store:
                store.execute(_TABLE)
                store.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", values.items())
                if _size(store) > self._limit:
                    store.execute(_OLDER_HALF)

        def work() -> None:
            # Whoever closes the file drops all locks that its process has on it.
            with _turn:
                path = _private_file(self._name)
            _connected(path, insert)

        self._tried(work)

    def _tried(self, work: Callable[[], T]) -> T | None:
        """Return what some work finds, once more with a new file where this one is damaged."""
        if not self._usable:
            return None
        try:
            path = cache_folder() / self._name
            if self._replaces:
                _remove(path.with_name(self._replaces))
            try:
                return work()
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
                _log.warning("cache %s: made anew: %s", path, shown_safely(str(error), 300))
                _remove_damaged(path)
                return work()
        except (DelegatorError, OSError, RuntimeError, sqlite3.Error) as error:
            self._usable = False
            said = shown_safely(str(error), 300)
            _log.warning("cache %s: not used, which is slower: %s", self._name, said)
        return None


def _connected(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    with _turn, closing(sqlite3.connect(path, timeout=_WAIT)) as store:
        return work(store)


def _private_file(name: str) -> Path:
    """Return the path of a file that only the user may read, made where it is missing.

    Raises:
        OSError: it cannot be made, or something else is in its place.
    """
    path = private_cache_folder() / name
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no file")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return path


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGES


def _remove_damaged(path: Path) -> None:
    """Remove a file, unless another process has put a whole one in its place."""
    with one_at_a_time(path.with_name(f".{path.name}.lock")):
        try:
            whole = _connected(path, _is_whole)
        except sqlite3.Error:
            whole = False
        if not whole:
            _remove(path)


def _is_whole(store: sqlite3.Connection) -> bool:
    store.execute("SELECT key, value FROM kept LIMIT 1")
    return store.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)


def _remove(path: Path) -> None:
    for end in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _size(store: sqlite3.Connection) -> int:
    """Return how many bytes of the file are in use."""
    pages, free, size = (
        store.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
