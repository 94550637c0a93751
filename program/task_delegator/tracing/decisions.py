"""Decisions: what a service decided, with the text of the task, as JSONL on its own disk.

A trace without texts joins to it by the id of the request. ``optimize merge`` looks the text of
an assessed trace up here. A service that is started again reads what waited for a person.
"""

import logging
from collections import deque
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..choice import Choice
from ..delegation import Decision, Delegation
from ..errors import DelegatorError, InputError
from ..feedback import json_of, now, read_feedback, read_log
from ..registry import first_fault
from ..system import require_regular

_log = logging.getLogger(__name__)

MOST_WAITING = 10_000  # that wait again after a start, those that were asked last


class Requested(BaseModel):
    """Who asked for a delegation, and with which wishes.

    Attributes:
        caller: the name of the token.
        permissions: under which it was delegated; None without limits. It has to be given.
        exclude, include, history, k: as in ``Choice``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    caller: str
    permissions: frozenset[str] | None
    exclude: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()
    history: tuple[str, ...] = ()
    k: int = 3

    @classmethod
    def of(cls, caller: str, permissions: frozenset[str] | None, choice: Choice) -> "Requested":
        """Return the request of a caller."""
        return cls(
            caller=caller,
            permissions=permissions,
            exclude=choice.exclude,
            include=choice.include,
            history=choice.history,
            k=choice.k,
        )

    @property
    def choice(self) -> Choice:
        """Return the wishes."""
        return Choice(self.exclude, self.include, self.history, self.k)


class Decided(BaseModel):
    """What was decided of one task.

    Attributes:
        request_id: of the delegation, in this log and on its trace.
        task: as it was given.
        agent: the best agent; None where none was ranked.
        decision, confidence: of the delegation.
        time: ISO 8601, UTC.
        requested: who asked, of a decision that waits for a person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: str
    task: str
    agent: str | None
    decision: Decision
    confidence: float
    time: str
    requested: Requested | None = None

    @classmethod
    def of(
        cls, request_id: str, delegation: Delegation, requested: Requested | None = None
    ) -> "Decided":
        """Return the row of a delegation."""
        return cls(
            request_id=request_id,
            task=delegation.task,
            agent=delegation.top3[0].name if delegation.top3 else None,
            decision=delegation.decision,
            confidence=delegation.confidence,
            time=now(),
            requested=requested if delegation.decision == "review" else None,
        )


def read_decisions(path: str | Path) -> dict[str, Decided]:
    """Read a log of decisions, by the id of the request.

    Raises:
        InputError: it cannot be read, or a line is no decision.
    """
    return {row.request_id: row for row in (_row(path, *line) for line in read_log(path))}


def _row(path: str | Path, number: int, values: Any) -> Decided:
    try:
        return Decided.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: line {number}: {first_fault(error)}") from error


def still_waiting(decisions: Path, feedback: Path) -> list[Decided]:
    """Return what waits for a person after a service ended: nobody said yet who was right.

    The last ``MOST_WAITING``, in the order of the log. Where either file cannot be read, that is
    told, and nothing waits: a service starts all the same.

    Args:
        decisions: log of decisions; it may be missing.
        feedback: file of feedback; it may be missing.
    """
    try:
        said = read_feedback(feedback) if feedback.exists() else ()
        settled = {row.request_id for row in said}
        rows = _last_reviews(decisions, MOST_WAITING + len(settled)) if decisions.exists() else []
    except DelegatorError as error:
        _log.warning("what waited for a person before is not taken over: %s", error)
        return []
    waiting = [row for row in rows if row.requested and row.request_id not in settled]
    return waiting[-MOST_WAITING:]


def _last_reviews(path: Path, most: int) -> list[Decided]:
    """Return the last reviews of a log; a line that was torn while it was written is none.

    Line by line, as a log may hold years.

    Raises:
        InputError: it cannot be read, or a review is no decision.
    """
    require_regular(path)
    last: deque[tuple[int, bytes]] = deque(maxlen=most)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if b'"review"' in line and line.endswith(b"\n"):
                    last.append((number, line))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    rows = [_row(path, number, json_of(line, f"{path}: line {number}")) for number, line in last]
    return [row for row in rows if row.decision == "review"]
