"""Feedback: what became of delegations, as a JSONL file that real use writes.

Each row says what was delegated, how sure that was, and which agent was right in the end.
``optimize merge`` makes ground truth of it; ``optimize drift`` says when outcomes no
longer fit the stated confidence.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .agents import first_fault
from .delegation import Delegation
from .errors import InputError


class Feedback(BaseModel):
    """One delegation and its outcome.

    Attributes:
        task: the task as it was given.
        correct_agent: the agent that was right; None where nobody should have had it.
        agent, decision, confidence: what was said of the task.
        time: of the feedback, ISO 8601, UTC.
        source: who says so, such as a person's or a system's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    correct_agent: str | None
    agent: str | None = None
    decision: str = ""
    confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    time: str = ""
    source: str = ""

    @field_validator("task")
    @classmethod
    def _task_says_something(cls, task: str) -> str:
        if not task.strip():
            raise ValueError("is empty")
        return task

    @property
    def right(self) -> bool:
        """Whether the agent that was named first was right."""
        return self.agent is not None and self.agent == self.correct_agent


def record(
    path: str | Path, delegation: Delegation, correct_agent: str | None, source: str = ""
) -> Feedback:
    """Append the outcome of a delegation to a JSONL file, as one write.

    Args:
        path: the file; made where it is missing.
        delegation: what was said of the task.
        correct_agent: the agent that was right; the delegation's own where it was accepted,
            None where nobody should have had the task.
        source: who says so.

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
    """Append one row.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(row.model_dump_json() + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def read_feedback(path: str | Path) -> Iterator[Feedback]:
    """Read a feedback file, row by row.

    Raises:
        InputError: it cannot be read, or a line is no feedback.
    """
    try:
        # Not splitlines: a task may hold line separators of Unicode.
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Feedback.model_validate(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: line {number}: broken JSON: {error.msg}") from error
        except ValidationError as error:
            raise InputError(f"{path}: line {number}: {first_fault(error)}") from error
