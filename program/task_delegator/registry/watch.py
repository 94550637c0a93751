"""Follow the file or folder of a registry: its agents change when it does."""

import logging
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self

from ..errors import InputError
from .agents import Registry
from .enrichment import FILE, load_enriched
from .formats import NOT_ENTERED

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 30.0  # until a file is read again that could not be, though it is the same
_BESIDE = (FILE, "tools.json")  # files that are read with the one that is named
_Stamp = tuple[int, int, int] | None  # what tells one state of a file from another


class Watch:
    """A thread that looks at a file or a folder and takes its agents over when it changes.

    All agents change at once: whoever iterates over the registry sees the old ones or the new
    ones. A file that cannot be used, as while it is edited, changes nothing and is told once.
    Half of a file may be a good file, in which an agent is open that is not in the whole one. So
    a file is taken over once two looks, and one after it was read, find it in the same state.

    Args:
        registry: whose agents follow.
        path: the file or folder.
        read: reads the agents; None for ``load_enriched``, as when a program is loaded.
        seconds: between two looks.
        stamp: what tells one state from another; None for that of all files that are read.
        seen: the state in which the registry was read; None for that of now.
        settles: whether what is read may be half written; where not, each look may find another
            state.
    """

    def __init__(
        self,
        registry: Registry,
        path: str | Path,
        read: Callable[[], Registry] | None = None,
        seconds: float = 1.0,
        stamp: Callable[[], object] | None = None,
        seen: object = None,
        settles: bool = True,
    ) -> None:
        self._registry, self._path = registry, Path(path)
        self._stamp = stamp or (lambda: stamps(self._path))
        self._read = read or (lambda: load_enriched(self._path, gone=True))
        self._seconds, self._settles = seconds, settles
        self._seen = self._stamp() if seen is None else seen
        self._again, self._told = math.inf, ""
        self.refused = False  # whether what is there could not be taken over
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
        last = self._seen
        while not self._stop.wait(self._seconds):
            state = self._stamp()
            moved, last = state != last, state
            if moved and self._settles:
                continue
            if state == self._seen and monotonic() < self._again:
                continue
            self._seen, self._again = state, math.inf
            self.refused = True
            try:
                self._take_over()
                self.refused = False
            except InputError as error:
                self._again = monotonic() + _AGAIN_SECONDS
                if str(error) != self._told:
                    _log.warning("%s; the agents stay as they were", error)
                self._told = str(error)
            except Exception:  # of any reader: who follows goes on
                self._again = monotonic() + _AGAIN_SECONDS
                _log.exception("%s: cannot be read; the agents stay as they were", self._path)

    def _take_over(self) -> None:
        agents = tuple(self._read())
        if not agents:
            raise InputError(f"{self._path}: holds no agent")
        if self._settles and self._stamp() != self._seen:
            self._again = 0.0  # it changed while it was read
            return
        self._told, before = "", self._registry.version
        self._registry.swap(agents)
        if self._registry.version != before:
            _log.info("%s: %d agents taken over", self._path, len(agents))


def stamps(path: Path) -> tuple[_Stamp, ...]:
    """Return the states of a file and of those beside it, or of all files of a folder."""
    beside = (path.with_name(name) for name in _BESIDE)
    return tuple(map(_stamp, (path, *beside, *sorted(_below(path)))))


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that may be read; none of a file."""
    for above, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if name[0] != "." and name not in NOT_ENTERED)
        yield from (Path(above, name) for name in names)


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
