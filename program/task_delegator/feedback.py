"""Feedback: append the outcome of a delegation to a JSONL file, and read such files.

A row holds the task, the decision with its confidence, and the correct agent.
``optimize merge`` adds the rows to a dataset. ``optimize drift`` tests whether the outcomes
still match the stated confidence.
"""

import json
import sys
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


class Feedback(BaseModel):
    """The outcome of one task, with the delegation that it is about where there was one.

    Attributes:
        task: the task as it was given.
        correct_agent: the correct agent; None where no agent should have had the task.
        agent: the best agent of the delegation.
        decision, confidence: of the delegation; both None where the task was not delegated.
        time: of the feedback, ISO 8601, UTC.
        source: who gave the feedback: a person, a system.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    correct_agent: str | None
    agent: str | None = None
    decision: Decision | None = None
    confidence: float | None = Field(default=None, ge=0.0, le=1.0)
    time: str = ""
    source: str = ""

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
    path: str | Path, delegation: Delegation, correct_agent: str | None, source: str = ""
) -> Feedback:
    """Append the outcome of a delegation to a JSONL file, in one write.

    Args:
        path: the file; created if it is missing.
        delegation: the delegation.
        correct_agent: the correct agent; None where no agent should have had the task.
        source: who gave the feedback.

    Raises:
        InputError: the file cannot be written.
    """
    row = Feedback(
        task=delegation.task,
        correct_agent=correct_agent,
        agent=delegation.top3[0].name if delegation.top3 else None,
        decision=delegation.decision,
        confidence=delegation.confidence,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        source=source,
    )
    append(path, row)
    return row


def append(path: str | Path, row: Feedback) -> None:
    """Append one row to a JSONL file.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(row.model_dump_json() + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def read_feedback(path: str | Path) -> Iterator[Feedback]:
    """Read a feedback file row by row.

    Raises:
        InputError: it cannot be read, or a line is no feedback.
    """
    for number, values in read_jsonl(path):
        try:
            yield Feedback.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{path}: line {number}: {first_fault(error)}") from error


def read_jsonl(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Read a file with one JSON value per line, as (line number, value); skip empty lines.

    UTF-8, with or without a byte order mark.

    Args:
        path: the file, ``-`` for standard input.

    Raises:
        InputError: it cannot be read, or a line is no JSON.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
        # Not splitlines: a string may hold line separators of Unicode.
        lines = content.decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: line {number}: broken JSON: {error.msg}") from error
        yield number, value
