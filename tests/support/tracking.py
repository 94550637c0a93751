"""MLflow stores that tests write, and a real server on loopback."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.tracking import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

SECONDS = 120


@event.listens_for(Engine, "connect")
def _without_the_disk(connection: Any, _: object) -> None:
    """Let SQLite not wait for the disk: no test is about a machine that loses its power."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF").close()


@cache
def _tables() -> bytes:
    """Return an MLflow database without runs; its tables take a second of computing to make."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        MlflowClient(f"sqlite:///{path}").search_experiments()
        return path.read_bytes()


def empty_store(folder: Path) -> str:
    """Write an MLflow database without runs into a folder; return its URI."""
    path = folder / "mlflow.db"
    path.write_bytes(_tables())
    return f"sqlite:///{path}"


class Server:
    """A server over a store, in its own process group.

    Args:
        store: an SQL URI.
        folder: for artifacts and the log.
    """

    def __init__(self, store: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "server.log").open("w")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store),
                *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            ],
            cwd=folder, stdout=self._log, stderr=self._log, start_new_session=True,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip

    def wait(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        """End it at once, as a machine that goes down does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait(timeout=30)
        self._log.close()


@contextmanager
def mlflow_server(store: str, folder: Path) -> Iterator[Server]:
    """Serve a store until the block ends, or it is killed."""
    server = Server(store, folder)
    try:
        server.wait()
        yield server
    finally:
        server.kill()


class Held:
    """A registry of models whose champion is a folder."""

    name = "delegator"

    def __init__(self, champion: Path) -> None:
        self._champion, self.champion = champion, "1"

    def version(self, _alias: str) -> str:
        return self.champion

    def download(self, _version: str) -> Path:
        return self._champion

    def download_from_run(self, *_: object) -> None:
        return None

    def register(self, *_: object) -> str:
        return "2"

    def set_champion(self, version: str, _previous: str) -> None:
        self.champion = version
