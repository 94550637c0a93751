"""Feedback: append the outcome of a delegation to a JSONL file, and read such files.

A row holds the task, the decision with its confidence, and the correct agent.
``optimize merge`` adds the rows to a dataset. ``optimize drift`` tests whether the outcomes
still match the stated confidence.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .delegation import Decision, Delegation
from .errors import InputError
from .registry import first_fault
from .system import append_row, read_rows


class Feedback(BaseModel):
    """The outcome of one task, with the delegation that it is about where there was one.

    Attributes:
        task: the task as it was given.
        correct_agent: the correct agent; None where no agent should have had the task.
        agent: the best agent of the delegation.
        decision, confidence: of the delegation; both None where the task was not delegated.
        in_scope_score: P(some agent fits), where it is part of the confidence; None in older rows.
        time: of the feedback, ISO 8601, UTC.
        source: who gave the feedback: a person, a system.
        request_id: of the delegation, where a service gave it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    correct_agent: str | None
    agent: str | None = None
    decision: Decision | None = None
    confidence: float | None = Field(default=None, ge=0.0, le=1.0)
    in_scope_score: float | None = Field(default=None, ge=0.0, le=1.0)
    time: str = ""
    source: str = ""
    request_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_old_rows(cls, values: Any) -> Any:
        """Read the ``""`` and 0.0 that once stood for no decision as None."""
        if isinstance(values, dict) and values.get("decision") == "":
            return {**values, "decision": None, "confidence": None}
        return values

    @model_validator(mode="after")
    def _decision_has_confidence(self) -> "Feedback":
        if (self.decision is None) != (self.confidence is None):
            raise ValueError("give decision and confidence, both or neither")
        return self

    @field_validator("task")
    @classmethod
    def _task_says_something(cls, task: str) -> str:
        if not task.strip():
            raise ValueError("is empty")
        return task

    @property
    def correct(self) -> bool:
        """Whether the first-ranked agent of the delegation was correct."""
        return self.agent is not None and self.agent == self.correct_agent


def record(
    path: str | Path,
    delegation: Delegation,
    correct_agent: str | None,
    source: str = "",
    request_id: str | None = None,
) -> Feedback:
    """Append the outcome of a delegation to a JSONL file, in one write.

    Args:
        path: the file; created if it is missing.
        delegation: the delegation.
        correct_agent: the correct agent; None where no agent should have had the task.
        source: who gave the feedback.
        request_id: of the delegation, where a service gave it; of several rows of one request and
            source the last counts.

    Raises:
        InputError: the file cannot be written.
    """
    row = Feedback(
        task=delegation.task,
        correct_agent=correct_agent,
        agent=delegation.top3[0].name if delegation.top3 else None,
        decision=delegation.decision,
        confidence=delegation.confidence,
        in_scope_score=scope_part(delegation),
        time=now(),
        source=source,
        request_id=request_id,
    )
    append_row(path, row)
    return row


def scope_part(delegation: Delegation) -> float | None:
    """Return P(some agent fits) where it is part of a confidence, else None.

    It is where that was calibrated for the caller's agents.
    """
    evidence = delegation.evidence
    whole = evidence.calibrated and evidence.correct_score <= evidence.in_scope_score
    return evidence.in_scope_score if whole else None


def now() -> str:
    """Return the time of a feedback, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_feedback(path: str | Path) -> Iterator[Feedback]:
    """Read a feedback file row by row; of the rows of one request and source only the last.

    A last line that was torn while it was written is left out, with a warning.

    Raises:
        InputError: it cannot be read, or a line is no feedback.
    """
    rows: dict[object, Feedback] = {}
    for number, values in read_rows(path):
        try:
            row = Feedback.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{path}: line {number}: {first_fault(error)}") from error
        key = number if row.request_id is None else (row.request_id, row.source)
        rows.pop(key, None)  # the last stands where it was said
        rows[key] = row
    yield from rows.values()
