"""Persistent key-value cache (SQLite) in the user's cache folder."""

import logging
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing

from ..files import cache_folder

_log = logging.getLogger(__name__)
_ROWS = 500  # read at once; SQLite takes 999 parameters or more
_WAIT = 5.0  # seconds for another process that writes
_TABLE = "CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
_OLDER_HALF = "DELETE FROM kept WHERE rowid <= (SELECT (MIN(rowid) + MAX(rowid)) / 2 FROM kept)"


class VectorCache:
    """Bytes by key, in an SQLite file of the user's cache that only the user may read.

    Processes share it; when it outgrows its limit, the older half goes. Where it cannot be used,
    one warning says so and nothing is kept.

    Args:
        name: of the file.
        limit: bytes that it may hold.
    """

    def __init__(self, name: str, limit: int = 2**30) -> None:
        self._name = name
        self._limit = limit
        self._usable = True

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of the keys that are there."""
        found: dict[bytes, bytes] = {}
        try:
            path = cache_folder() / self._name
            if self._usable and path.is_file():
                with closing(sqlite3.connect(path, timeout=_WAIT)) as store:
                    for start in range(0, len(keys), _ROWS):
                        asked = keys[start : start + _ROWS]
                        places = ", ".join("?" * len(asked))
                        found.update(
                            store.execute(
                                f"SELECT key, value FROM kept WHERE key IN ({places})", asked
                            )
                        )
        except (OSError, RuntimeError, sqlite3.Error) as error:
            self._give_up(error)
        return found

    def write(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values, all or none of them."""
        if not self._usable:
            return
        try:
            path = cache_folder() / self._name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(path, timeout=_WAIT)) as store, store:
                store.execute(_TABLE)
                store.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", values.items())
                if _size(store) > self._limit:
                    store.execute(_OLDER_HALF)
        except (OSError, RuntimeError, sqlite3.Error) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._usable = False
        _log.warning("cache %s: not used, which is slower: %s", self._name, error)


def _size(store: sqlite3.Connection) -> int:
    """Return how many bytes of the file are in use."""
    pages, free, size = (
        store.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
