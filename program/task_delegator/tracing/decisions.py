"""Decisions: what a service decided, with the text of the task, as JSONL on its own disk.

A trace without texts joins to it by the id of the request. ``optimize merge`` looks the text of
an assessed trace up here. A service that is started again reads what waited for a person.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..choice import Choice
from ..delegation import Decision, Delegation
from ..errors import InputError
from ..feedback import now, scope_part
from ..registry import first_fault
from ..system import read_rows


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
        """The wishes, checked.

        Raises:
            InputError, TypeError, ValueError: as for ``Choice``.
        """
        return Choice.of(self.exclude, self.include, self.history, self.k)


class Decided(BaseModel):
    """What was decided of one task.

    Attributes:
        request_id: of the delegation, in this log and on its trace.
        task: as it was given.
        agent: the best agent; None where none was ranked.
        decision, confidence: of the delegation.
        in_scope_score: P(some agent fits), where it is part of the confidence; None in older rows.
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
    in_scope_score: float | None = None

    @classmethod
    def of(
        cls, request_id: str, delegation: Delegation, requested: Requested | None = None
    ) -> "Decided":
        """Return the row of a delegation; who asked is told of one that waits for a person."""
        return cls(
            request_id=request_id,
            task=delegation.task,
            agent=delegation.top3[0].name if delegation.top3 else None,
            decision=delegation.decision,
            confidence=delegation.confidence,
            time=now(),
            requested=requested,
            in_scope_score=scope_part(delegation),
        )


def read_decisions(path: str | Path) -> dict[str, Decided]:
    """Read a log of decisions, by the id of the request.

    Raises:
        InputError: it cannot be read, or a line is no decision.
    """
    return {row.request_id: row for row in (_row(path, *line) for line in read_rows(path))}


def _row(path: str | Path, number: int, values: Any) -> Decided:
    try:
        return Decided.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: line {number}: {first_fault(error)}") from error
