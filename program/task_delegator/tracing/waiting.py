"""What waits for a person after a service ended, from its log of decisions and its feedback.

A log may hold years, of which little waits: each line is looked at, and few are read. Its values
stand as ``Decided`` writes them. Within a text quotes are escaped, so that none looks like a field.
"""

import logging
import re
from codecs import BOM_UTF8
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ..errors import InputError
from ..feedback import is_json
from ..settings import check_task
from ..system import require_regular
from .decisions import Decided

_log = logging.getLogger(__name__)

_MOST, _BYTES = 10_000, 2**27  # rows that wait again, and how much they take together
_REVIEW, _ASKED = b'"decision":"review"', b'"requested":{'
_REQUEST_ID = re.compile(rb'"request_id": ?"([^"\\]*)"')
_CALLER = re.compile(rb'"caller":"((?:[^"\\]|\\.)*)"')


class _Last:
    """The last lines of a log; where they are too many, whose take the most lose the oldest."""

    def __init__(self) -> None:
        self.lost = 0
        self._of: defaultdict[bytes, deque[tuple[int, bytes]]] = defaultdict(deque)
        self._counts: Counter[bytes] = Counter()
        self._sizes: Counter[bytes] = Counter()

    def add(self, caller: bytes, number: int, line: bytes) -> None:
        """Keep a line of a caller."""
        self._of[caller].append((number, line))
        self._counts[caller] += 1
        self._sizes[caller] += len(line)
        while self._counts.total() > _MOST:
            self._drop(self._counts)
        while self._sizes.total() > _BYTES:
            self._drop(self._sizes)

    def _drop(self, taken: Counter[bytes]) -> None:
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

    What is no request that the program would take is left out, and so are the oldest of too many:
    both are told. So is a file that cannot be read, and nothing waits: a service starts all the
    same.

    Args:
        decisions: log of decisions; it may be missing.
        feedback: file of feedback; it may be missing.
    """
    try:
        found = _unsettled(decisions, _settled(feedback))
    except (InputError, OSError) as error:
        _log.warning("what waited for a person before is not taken over: %s", error)
        return []
    rows, refused = [], 0
    for number, line in found:
        try:
            rows.append(_checked(line))
        except (InputError, TypeError, ValueError):
            refused += 1
            if refused == 1:
                _log.warning("%s: line %d: no decision that can wait again", decisions, number)
    if found.lost or refused:
        told = "%d reviews of before wait no more: %d are too many, %d no decisions"
        _log.warning(told, found.lost + refused, found.lost, refused)
    if rows:
        _log.info("%d reviews of before wait for a person", len(rows))
    return rows


def _settled(feedback: Path) -> set[bytes]:
    """Return the ids of the requests of which somebody said who was right."""
    found = (_REQUEST_ID.search(line) for _, line in _lines(feedback))
    return {match[1] for match in found if match is not None}


def _unsettled(decisions: Path, settled: set[bytes]) -> _Last:
    last, known = _Last(), set()
    for number, line in _lines(decisions):
        if _REVIEW not in line or _ASKED not in line:
            continue
        request, caller = _REQUEST_ID.search(line), _CALLER.search(line)
        if request is None or caller is None or request[1] in settled or request[1] in known:
            continue
        if line.endswith(b"\n") or is_json(line):  # not torn while it was written
            known.add(request[1])
            last.add(caller[1], number, line)
    return last


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, none where it is missing.

    Raises:
        InputError: it is no regular file.
        OSError: it cannot be read.
    """
    if not path.exists():
        return
    require_regular(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
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
