"""Read the rows of a dataset's files: JSON lists of objects."""

import io
import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from task_delegator.errors import InputError
from task_delegator.registry import misspelled
from task_delegator.system import parse_json, read_text


def read_rows(path: Path, keys: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a file with where each stands; of a missing file none.

    Args:
        path: of the file.
        keys: that are read of a row; others are allowed, unless they nearly spell one.

    Raises:
        InputError: it cannot be read, is no JSON list of objects, or a key is misspelled.
    """
    if not os.path.lexists(path):  # a link to nothing is a mistake, and no missing file
        return
    rows = _parsed(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: expected a JSON list of objects")
    for number, row in enumerate(rows):
        where = f"{path}: row {number}"
        for key in row:
            if right := misspelled(key, keys):
                raise InputError(
                    f"{where}: the key {key!r} is unknown: did you mean {right!r}? Rename it"
                )
        yield where, row


def field(row: dict[str, Any], name: str, kind: type, where: str) -> Any:
    """Return a field of a row.

    Raises:
        InputError: it is missing, or of another type.
    """
    if not isinstance(row.get(name), kind):
        raise InputError(f"{where}: expected {name!r} to be a {kind.__name__}")
    return row[name]


def _parsed(path: Path) -> Any:
    text = read_text(path)
    try:
        return parse_json(text, str(path))
    except InputError as error:
        if _is_json_lines(text):
            raise InputError(
                f"{path}: holds JSON Lines, an object a line: write them as one JSON list, "
                "[{...}, {...}]"
            ) from error
        raise


def _is_json_lines(text: str) -> bool:
    """Tell whether a text begins with an object on a line, and another on the next."""
    lines = list(islice(filter(None, map(str.strip, io.StringIO(text))), 2))
    if len(lines) < 2 or not all(line.startswith("{") for line in lines):
        return False
    try:
        return isinstance(parse_json(lines[0], ""), dict)
    except InputError:
        return False
