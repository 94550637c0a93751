"""What waits for a person after a service ended, from its log of decisions and its feedback.

A log may hold years, of which little waits: each line is looked at, and only those are parsed that
may be a review. Another program may have written the files anew, with spaces, or fields in another
order.
"""

import logging
from codecs import BOM_UTF8
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from ..errors import InputError
from ..settings import check_task
from ..system import require_regular
from .decisions import Decided

_log = logging.getLogger(__name__)

_MOST, _BYTES = 10_000, 2**27  # rows that wait again, and how much they take together
_REVIEW = b'"review"'  # in any spelling of a review: no writer of JSON escapes plain letters


class _Last:
    """The last lines of a log; where they are too many, whose take the most lose the oldest."""

    def __init__(self) -> None:
        self.lost = 0
        self._of: defaultdict[str, deque[tuple[int, bytes]]] = defaultdict(deque)
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()

    def add(self, caller: str, number: int, line: bytes) -> None:
        """Keep a line of a caller."""
        self._of[caller].append((number, line))
        self._counts[caller] += 1
        self._sizes[caller] += len(line)
        while self._counts.total() > _MOST:
            self._drop(self._counts)
        while self._sizes.total() > _BYTES:
            self._drop(self._sizes)

    def _drop(self, taken: Counter[str]) -> None:
        most = max(taken, key=lambda caller: taken[caller])
        _, oldest = self._of[most].popleft()
        self._counts[most] -= 1
        self._sizes[most] -= len(oldest)
        self.lost += 1

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and line, in the order of the log."""
        return iter(sorted(line for lines in self._of.values() for line in lines))


def still_waiting(decisions: Path, feedback: Path) -> list[Decided]:
    """Return what nobody has said of who was right, in the order of a log.

    What is no request that the program would take is left out, and so are lines that cannot be
    read and the oldest of too many: all are told. So is a file that cannot be read, and nothing
    waits: a service starts all the same.

    Args:
        decisions: log of decisions; it may be missing.
        feedback: file of feedback; it may be missing.
    """
    try:
        last, refused = _unsettled(decisions, _settled(feedback))
    except (InputError, OSError) as error:
        _log.warning("what waited for a person before is not taken over: %s", error)
        return []
    rows = []
    for number, line in last:
        try:
            rows.append(_checked(line))
        except (InputError, TypeError, ValueError):
            refused.append(number)
    if refused:
        _log.warning("%s: line %d: no decision that can wait again", decisions, min(refused))
    if last.lost or refused:
        told = "reviews of before wait no more: %d are too many, %d lines are no such decisions"
        _log.warning(told, last.lost, len(refused))
    if rows:
        _log.info("%d reviews of before wait for a person", len(rows))
    return rows


def _settled(feedback: Path) -> set[str]:
    """Return the ids of the requests of which somebody said who was right."""
    settled, unreadable = set(), []
    for number, line in _lines(feedback):
        match _value(line):
            case {"request_id": str(request)}:
                settled.add(request)
            case None:
                unreadable.append(number)
    if unreadable:
        told = "%s: %d lines cannot be read, the first is line %d: what they are about waits again"
        _log.warning(told, feedback, len(unreadable), unreadable[0])
    return settled


def _unsettled(decisions: Path, settled: set[str]) -> tuple[_Last, list[int]]:
    """Return the last reviews that nobody settled, and the numbers of lines that cannot wait."""
    last, refused, known = _Last(), [], set()
    for number, line in _lines(decisions):
        if _REVIEW not in line and line.endswith((b"}\n", b"}")):  # whole, and no review
            continue
        match _value(line):
            case {
                "decision": "review",
                "request_id": str(request),
                "requested": {"caller": str(caller)},
            }:
                if request not in settled and request not in known:
                    known.add(request)
                    last.add(caller, number, line)
            case None | {"decision": "review", "requested": {}}:
                refused.append(number)
    return last, refused


def _value(line: bytes) -> dict[str, Any] | None:
    """Return the object that a line is, None where it is torn or another value."""
    try:
        value = from_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, blank ones left out, none where it is missing.

    Raises:
        InputError: it is no regular file.
        OSError: it cannot be read.
    """
    if not path.exists():
        return
    require_regular(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.isspace():
                yield number, line.removeprefix(BOM_UTF8) if number == 1 else line


def _checked(line: bytes) -> Decided:
    """Return a row of a log that can be delegated again.

    Raises:
        InputError, TypeError, ValueError: it cannot be.
    """
    try:
        row = Decided.model_validate_json(line)
    except ValidationError as error:
        raise InputError("no decision") from error
    if row.decision != "review" or row.requested is None or not 0 <= row.confidence <= 1:
        raise InputError("no decision that waits")
    check_task(row.task)
    row.model_dump_json().encode()  # not with half characters
    _ = row.requested.choice
    return row
