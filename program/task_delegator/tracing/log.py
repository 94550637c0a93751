"""Write traces and a log of decisions meanwhile: no delegation waits for it, or fails by it.

One thread takes what was recorded from a queue. What does not fit into the queue is dropped, and
so is what the store does not take; both are counted, and warned of once.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Protocol

from ..errors import DelegatorError
from ..feedback import append
from .decisions import Decided
from .spans import Span

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


class TraceLog:
    """Take recorded delegations and assessments, and write them in a thread of its own.

    Args:
        store: of the traces; None for none.
        decisions: JSONL file of what was decided, with texts; None for none.
        texts: whether traces keep texts.
    """

    def __init__(
        self, store: TraceStore | None, decisions: Path | None = None, *, texts: bool = False
    ) -> None:
        self.texts = texts
        self.lost = 0
        self._store, self._decisions = store, decisions
        self._queue: Queue[Recorded | Assessed | None] = Queue(_MOST_WAITING)
        self._warned: set[str] = set()
        self._thread = Thread(target=self._write_all, name="traces", daemon=True)
        self._thread.start()

    @property
    def traced(self) -> bool:
        """Whether spans are wanted."""
        return self._store is not None

    def put(self, one: Recorded | Assessed) -> None:
        """Hand something over to be written; drop it where the queue is full."""
        try:
            self._queue.put_nowait(one)
        except Full:
            self._lose("more comes than can be written")

    def close(self, seconds: float | None = None) -> None:
        """Write what waits, for that long at most, and end."""
        try:
            self._queue.put(None, timeout=seconds)
        except Full:
            return self._lose("the store is too slow")
        self._thread.join(seconds)

    def _write_all(self) -> None:
        while (one := self._queue.get()) is not None:
            if isinstance(one, Recorded):
                self._log_decision(one)
            if self._store is not None:
                self._store_one(self._store, one)

    def _log_decision(self, recorded: Recorded) -> None:
        if self._decisions is None or recorded.decided is None:
            return
        try:
            append(self._decisions, recorded.decided)
        except DelegatorError as error:
            self._lose(str(error))

    def _store_one(self, store: TraceStore, one: Recorded | Assessed) -> None:
        try:
            if isinstance(one, Assessed):
                store.assess(one)
            elif one.spans:
                store.write(one)
        # Whatever a store, its server, a driver or the disk raises: delegations go on.
        except Exception as error:
            self._lose(type(error).__name__)  # the message may hold a password

    def _lose(self, why: str) -> None:
        self.lost += 1
        if why not in self._warned:
            self._warned.add(why)
            _log.warning("a trace, an assessment or a decision was not written (%s)", why)
