"""Feedback: append the outcome of a delegation to a JSONL file, and read such files.

A row holds the task, the decision with its confidence, and the correct agent.
``optimize merge`` adds the rows to a dataset. ``optimize drift`` tests whether the outcomes
still match the stated confidence.
"""

import json
import logging
import os
import sys
from codecs import BOM_UTF8
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
from pydantic_core import PydanticSerializationError

from .delegation import Decision, Delegation
from .errors import InputError
from .registry import first_fault
from .system import append_line, flush, held, parse_json, read_bytes, unfinished_line

_log = logging.getLogger(__name__)


class Feedback(BaseModel):
    """The outcome of one task, with the delegation that it is about where there was one.

    Attributes:
        task: the task as it was given.
        correct_agent: the correct agent; None where no agent should have had the task.
        agent: the best agent of the delegation.
        decision, confidence: of the delegation; both None where the task was not delegated.
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
        time=now(),
        source=source,
        request_id=request_id,
    )
    append(path, row)
    return row


def now() -> str:
    """Return the time of a feedback, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append(path: str | Path, row: BaseModel) -> None:
    """Append one row to a JSONL file, all of it or nothing; processes take turns.

    When the function returns, the row is on the disk. A last line that was torn, as when the power
    failed, is moved to a file beside (``.torn``).

    Args:
        path: the file; created if it is missing.
        row: a feedback, or a decision.

    Raises:
        InputError: the file cannot be written, or the row holds half a character.
    """
    try:
        whole = row.model_dump_json().encode()
    except PydanticSerializationError as error:
        raise InputError(
            f"{path}: nothing written: the row holds bytes that are no UTF-8; "
            "give task, agent and source in UTF-8"
        ) from error
    try:
        with held(Path(path)) as file:
            _check_log(Path(path))
            line = whole
            last = unfinished_line(file)
            if is_json(last):  # whole, but for its line break
                line = b"\n" + line
            elif last:
                _set_aside(Path(path), last)
                file.truncate(file.seek(0, os.SEEK_END) - len(last))
            is_new = file.seek(0, os.SEEK_END) == 0
            append_line(file, line, durable=True)
            if is_new:
                flush(Path(path).parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _check_log(path: Path) -> None:
    """Refuse a file whose first line is whole and no row: appending would break it.

    Raises:
        InputError: it is such a file.
    """
    with path.open("rb") as file:
        first = file.readline()
    if first.endswith(b"\n") and first.strip() and not _is_object(first):
        raise InputError(f"{path}: is no file of JSON lines: name another file to append to")


def _is_object(line: bytes) -> bool:
    return is_json(line) and line.lstrip(BOM_UTF8).lstrip().startswith(b"{")


def _set_aside(path: Path, torn: bytes) -> None:
    beside = path.with_name(f"{path.name}.torn")
    with beside.open("ab", buffering=0) as file:
        append_line(file, torn, durable=True)
    _log.warning("%s: its last line was torn; it is set aside in %s", path, beside)


def read_feedback(path: str | Path) -> Iterator[Feedback]:
    """Read a feedback file row by row; of the rows of one request and source only the last.

    A last line that was torn while it was written is left out, with a warning.

    Raises:
        InputError: it cannot be read, or a line is no feedback.
    """
    rows: dict[object, Feedback] = {}
    for number, values in read_log(path):
        try:
            row = Feedback.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{path}: line {number}: {first_fault(error)}") from error
        key = number if row.request_id is None else (row.request_id, row.source)
        rows.pop(key, None)  # the last stands where it was said
        rows[key] = row
    yield from rows.values()


def read_log(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Read a file with one JSON value per line, as (line number, value); skip empty lines.

    UTF-8, with or without a byte order mark. A last line that was torn while it was written is
    left out, with a warning.

    Args:
        path: the file, ``-`` for standard input.

    Raises:
        InputError: it cannot be read, is no regular file, or a line is no JSON.
    """
    content = _content(path)
    whole, _, last = content.rpartition(b"\n")
    if last.strip() and not is_json(last):
        _log.warning("%s: line %d: torn, not read", path, whole.count(b"\n") + 2 if whole else 1)
        content = whole
    return _rows(path, content)


def is_json(line: bytes) -> bool:
    """Tell whether a line is one JSON value, and not a part of one."""
    try:
        json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return True


def _content(path: str | Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else read_bytes(Path(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def jsonl_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file as they are, with their numbers from 1, blank ones left out.

    Raises:
        InputError: it cannot be read, or is no regular file.
    """
    return _lines(_content(path))


def json_of(line: bytes, where: str) -> Any:
    """Return the JSON value of a line.

    Raises:
        InputError: it is no UTF-8, or no JSON.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: cannot be read: {error}") from error
    return parse_json(text, where)


def _rows(path: str | Path, content: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in _lines(content):
        yield number, json_of(line, f"{path}: line {number}")


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    # Not splitlines: a string may hold line separators of Unicode.
    for number, line in enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), 1):
        if line.decode(errors="replace").strip():
            yield number, line
