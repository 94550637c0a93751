"""Follow the file of a registry: its agents change when it does."""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from ..errors import InputError
from .agents import Registry

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int] | None  # what tells one state of a file from another


class Watch:
    """A thread that looks at a file and takes its agents over when it changes.

    All agents change at once: whoever iterates over the registry sees the old ones or the new
    ones. A file that cannot be used, as while it is edited, changes nothing and is told once.

    Args:
        registry: whose agents follow.
        path: the file.
        read: reads the agents; None for ``Registry.load(path)``.
        seconds: between two looks.
        stamp: what tells one state from another; None for that of the file.
    """

    def __init__(
        self,
        registry: Registry,
        path: str | Path,
        read: Callable[[], Registry] | None = None,
        seconds: float = 1.0,
        stamp: Callable[[], object] | None = None,
    ) -> None:
        self._registry, self._path = registry, Path(path)
        self._stamp = stamp or (lambda: _stamp(self._path))
        self._read = read or (lambda: Registry.load(self._path))
        self._seconds = seconds
        self._seen, self._told = self._stamp(), ""
        self._stop = Event()
        self._thread = Thread(target=self._follow, name=f"watch {self._path.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no further."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _follow(self) -> None:
        while not self._stop.wait(self._seconds):
            seen = self._stamp()
            if seen == self._seen:
                continue
            self._seen = seen
            try:
                agents = tuple(self._read())
                if not agents:
                    raise InputError(f"{self._path}: holds no agent")
            except InputError as error:
                if str(error) != self._told:
                    _log.warning("%s; the agents stay as they were", error)
                self._told = str(error)
            else:
                self._told, before = "", self._registry.version
                self._registry.swap(agents)
                if self._registry.version != before:
                    _log.info("%s: %d agents taken over", self._path, len(agents))


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
