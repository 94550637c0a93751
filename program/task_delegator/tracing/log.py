"""Write traces and a log of decisions meanwhile: no delegation waits for it, or fails by it.

Each has a thread that takes what was recorded from a queue: a store that is slow costs no decision.
What does not fit into a queue is dropped, and so is what the store or the disk does not take; both
are counted, and warned of once.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from time import monotonic
from typing import Generic, Protocol, TypeVar

from ..errors import DelegatorError
from ..system import Lock, append_row
from .decisions import Decided
from .spans import Span

_Item = TypeVar("_Item")
_MOST_WAITING = 1_000  # recorded, and not written yet
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A delegation with its spans.

    Attributes:
        spans: parents before children; the first is the delegation's own.
        decided: what was decided, with the text of the task; None where it failed.
        shown_first: the first agent, as a trace may show it; None for nobody.
        texts: whether the spans hold texts.
    """

    spans: Sequence[Span]
    decided: Decided | None = None
    shown_first: str | None = None
    texts: bool = False


@dataclass(frozen=True, slots=True)
class Assessed:
    """What a person said of a delegation.

    Attributes:
        request_id: of the delegation.
        shown_agent: the right agent, as a trace may show it; None for nobody.
        source: who said it.
    """

    request_id: str
    shown_agent: str | None
    source: str


class TraceStore(Protocol):
    """Where traces are kept."""

    def write(self, recorded: Recorded) -> None:
        """Write a trace.

        Raises:
            Exception: of whatever kind the store raises.
        """
        ...

    def assess(self, assessed: Assessed) -> None:
        """Write what a person said to the trace of a request.

        Raises:
            Exception: of whatever kind the store raises.
        """
        ...


class _Writer(Generic[_Item]):
    """A thread that writes what it is handed, in order.

    Args:
        name: of what it writes.
        write: writes one thing.
        lose: is told why something was not written.
    """

    def __init__(
        self, name: str, write: Callable[[_Item], None], lose: Callable[[str, str], None]
    ) -> None:
        self._name, self._write, self._lose = name, write, lose
        self._queue: Queue[_Item | None] = Queue(_MOST_WAITING)
        self._thread = Thread(target=self._write_all, name=name, daemon=True)
        self._thread.start()

    def put(self, one: _Item) -> None:
        """Hand something over; drop it where the queue is full."""
        try:
            self._queue.put_nowait(one)
        except Full:
            self._lose(self._name, "more comes than can be written")

    def close(self, until: float | None) -> None:
        """Write what waits, until that moment at most, and end."""
        left = None if until is None else max(until - monotonic(), 0.0)
        try:
            self._queue.put(None, timeout=left)
        except Full:
            return self._lose(self._name, "it is too slow")
        self._thread.join(None if until is None else max(until - monotonic(), 0.0))
        if self._thread.is_alive():
            self._lose(self._name, f"it is too slow; some {self._queue.qsize()} were left")

    def _write_all(self) -> None:
        while (one := self._queue.get()) is not None:
            self._write(one)


class TraceLog:
    """Take recorded delegations and assessments, and write them in threads of its own.

    Args:
        store: of the traces; None for none.
        decisions: JSONL file of what was decided, with texts; None for none.
        texts: whether traces keep texts.

    Attributes:
        lost: traces, assessments and decisions that were not written.
    """

    def __init__(
        self, store: TraceStore | None, decisions: Path | None = None, *, texts: bool = False
    ) -> None:
        self.texts = texts
        self.lost = 0
        self._store, self._decisions = store, decisions
        self._counting = Lock()
        self._warned: set[tuple[str, str]] = set()
        self._stored: _Writer[Recorded | Assessed] = _Writer("traces", self._store_one, self._lose)
        self._logged: _Writer[Decided] = _Writer("decisions", self._log_decision, self._lose)

    @property
    def traced(self) -> bool:
        """Whether spans are wanted."""
        return self._store is not None

    def put(self, one: Recorded | Assessed) -> None:
        """Hand something over to be written; drop it where more comes than can be."""
        if self._decisions is not None and isinstance(one, Recorded) and one.decided is not None:
            self._logged.put(one.decided)
        if self._store is not None:
            self._stored.put(one)

    def close(self, seconds: float | None = None) -> None:
        """Write what waits, for that long at most, and end; decisions before traces."""
        until = None if seconds is None else monotonic() + seconds
        self._logged.close(until)
        self._stored.close(until)

    def _log_decision(self, decided: Decided) -> None:
        if self._decisions is None:
            return
        try:
            append_row(self._decisions, decided)
        except DelegatorError as error:
            self._lose("decisions", str(error))

    def _store_one(self, one: Recorded | Assessed) -> None:
        if self._store is None:
            return
        try:
            if isinstance(one, Assessed):
                self._store.assess(one)
            elif one.spans:
                self._store.write(one)
        # Whatever a store, its server, a driver or the disk raises: delegations go on.
        except Exception as error:
            self._lose("traces", type(error).__name__)  # the message may hold a password

    def _lose(self, what: str, why: str) -> None:
        with self._counting:
            self.lost += 1
        if (what, why) not in self._warned:
            self._warned.add((what, why))
            _log.warning("not all %s were written (%s)", what, why)
