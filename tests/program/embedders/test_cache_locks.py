"""Threads of one process leave each other's locks on the cache's files, which others respect."""

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from task_delegator.embedders import cache
from task_delegator.embedders.cache import VectorCache
from task_delegator.system.files import cache_folder


def test_a_thread_that_waits_to_write_leaves_the_locks_of_another(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = cache_folder() / "e.sqlite"
    kept, begun, done = VectorCache("e.sqlite"), threading.Event(), threading.Event()
    kept.write({b"key": b"value"})

    def hold(store: sqlite3.Connection) -> None:
        store.execute("BEGIN IMMEDIATE")
        begun.set()
        done.wait(30)

    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(cache._connected, path, hold)
        assert begun.wait(30)
        waits = pool.submit(kept.write, {b"other": b"value"})
        with pytest.raises(TimeoutError):
            waits.result(0.3)
        # The locks are those of a process: another one is asked.
        ask = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0)"
        asked = subprocess.run(
            [sys.executable, "-c", f"{ask}.execute('BEGIN IMMEDIATE')"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        done.set()
        held.result(30)
        waits.result(30)
    assert "database is locked" in asked.stderr
    assert kept.read([b"key", b"other"]) == {b"key": b"value", b"other": b"value"}
