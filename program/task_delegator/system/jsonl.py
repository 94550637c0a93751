"""Files of JSON lines: rows are appended whole, and read with their numbers.

A process that is killed, or a disk that is full, may leave a torn last line. Whoever appends rows
that nobody can make again sets it aside (``append_row``). Whoever can make its row again cuts it
off (``cut_unfinished_line``). Whoever reads leaves it out, with a warning (``read_rows``).
"""

import json
import logging
import os
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import InputError
from .files import flush, flush_open, read_bytes
from .json_text import parse_json
from .locks import held

if TYPE_CHECKING:  # commands that only print help are not to wait for it
    from pydantic import BaseModel

_log = logging.getLogger(__name__)
_BLOCK = 2**16  # bytes that are read at once from the end of a file


def append_row(path: str | Path, row: "BaseModel") -> None:
    """Append one row to a JSONL file, all of it or nothing; processes take turns.

    When the function returns, the row is on the disk. A last line that was torn, as when the power
    failed, is moved to a file beside (``.torn``).

    Args:
        path: the file; created if it is missing.
        row: a line of it.

    Raises:
        InputError: the file cannot be written, or the row holds half a character.
    """
    try:
        whole = row.model_dump_json().encode()
    except ValueError as error:  # of pydantic
        raise InputError(
            f"{path}: nothing written: the row holds bytes that are no UTF-8; "
            "give task, agent and source in UTF-8"
        ) from error
    try:
        with held(Path(path)) as file:
            _check_log(Path(path))
            line = whole
            last = unfinished_line(file)
            if _is_json(last):  # whole, but for its line break
                line = b"\n" + line
            elif last:
                _set_aside(Path(path), last)
                cut_unfinished_line(file)
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
    return _is_json(line) and line.lstrip(BOM_UTF8).lstrip().startswith(b"{")


def _set_aside(path: Path, torn: bytes) -> None:
    beside = path.with_name(f"{path.name}.torn")
    with beside.open("ab", buffering=0) as file:
        append_line(file, torn, durable=True)
    _log.warning("%s: its last line was torn; it is set aside in %s", path, beside)


def read_rows(path: str | Path) -> Iterator[tuple[int, Any]]:
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
    if last.strip() and not _is_json(last):
        _log.warning("%s: line %d: torn, not read", path, whole.count(b"\n") + 2 if whole else 1)
        content = whole
    return _rows(path, content)


def _is_json(line: bytes) -> bool:
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


def append_line(file: IO[bytes], line: bytes, *, durable: bool = False) -> None:
    """Append a line to a file that was opened to append, without a buffer; all of it or nothing.

    Args:
        file: the file.
        line: without a line break.
        durable: wait until it is on the disk, some milliseconds.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    end = file.seek(0, os.SEEK_END)
    left = memoryview(line + b"\n")
    try:
        while left:
            left = left[file.write(left) :]
        if durable:
            flush_open(file.fileno())
    except BaseException:
        file.truncate(end)
        raise


def unfinished_line(file: IO[bytes]) -> bytes:
    """Return what follows a file's last line break: of a write that was cut off."""
    start = end = file.seek(0, os.SEEK_END)
    read = b""
    while start and b"\n" not in read:
        start = max(0, start - _BLOCK)
        file.seek(start)
        read = file.read(end - start)
    return read.rpartition(b"\n")[2]


def cut_unfinished_line(file: IO[bytes]) -> None:
    """Remove what follows a file's last line break: of a write that was cut off."""
    file.truncate(file.seek(0, os.SEEK_END) - len(unfinished_line(file)))
