"""Files of a batch: tasks and delegations, as JSONL or, by their suffix, as Parquet.

Parquet needs the extra ``parquet``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from ..embedders import utf8_bytes
from ..errors import InputError
from ..registry import misspelled
from ..settings import check_task
from ..system import PARTIAL, atomic_write, json_of, jsonl_lines, needed, require_regular
from ..text import one_line, printable

Id: TypeAlias = str | int
PARQUET = ".parquet"
BAD = ".bad"  # suffix of the file of lines that hold no task
# What one call takes beside its task, and a batch for all of its lines or not at all.
_OF_A_CALL = {
    **dict.fromkeys(
        ("permissions", "required_permissions"),
        "give --permissions, which hold for all lines, or delegate line by line",
    ),
    **dict.fromkeys(("exclude", "include", "history", "k"), "delegate such tasks one by one"),
}
_TASK_LINE = '{"task": "..."} or a string in quotes, a line of JSON each'
_GROUP = 10_000  # rows that are written together


@dataclass(frozen=True, slots=True)
class TaskFile:
    """What a file of tasks holds.

    Attributes:
        tasks: line numbers, from 1, and tasks; of Parquet, the numbers of its rows.
        bad: line numbers, and what is wrong with them.
        ids: of tasks that have one, by line number: what their rows are joined by.
    """

    tasks: tuple[tuple[int, str], ...]
    bad: tuple[tuple[int, str], ...]
    ids: Mapping[int, Id]


def read_tasks(path: str) -> TaskFile:
    """Read tasks: ``{"task": "..."}`` or a string per line, or a Parquet column ``task``.

    An ``id`` beside a task, a text or a whole number, is kept for its row.

    Raises:
        InputError: the file cannot be read, or no line of it holds a task.
    """
    tasks, bad, ids = [], [], {}
    rows = _parquet_rows(path) if path.endswith(PARQUET) else _jsonl_rows(path)
    for number, row in rows:
        where = f"{path}: line {number}"
        try:
            value = row()
            task, known = _task_of(value, where), _id_of(value, where)
        except InputError as error:
            bad.append((number, str(error)))
            continue
        tasks.append((number, task))
        if known is not None:
            ids[number] = known
    if bad and not tasks:
        raise InputError(bad[0][1])
    return TaskFile(tuple(tasks), tuple(bad), ids)


def written_beside(out: Path) -> tuple[Path, ...]:
    """Return what a batch writes: its output, the journal, and the list of bad lines."""
    return out, out.with_name(out.name + PARTIAL), out.with_name(out.name + BAD)


def write_bad(out: Path, bad: Iterable[tuple[int, str]]) -> Path:
    """Write which lines hold no task, and why, beside the output; return where.

    The file of an earlier run is replaced, or removed where no line is bad.

    Raises:
        OSError: it cannot be written.
    """
    path = out.with_name(out.name + BAD)
    rows = [json.dumps({"line": number, "error": said}) + "\n" for number, said in bad]
    if rows:
        atomic_write(path, "".join(rows))
    else:
        path.unlink(missing_ok=True)
    return path


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path, suffix: str) -> int:
    """Write delegations, as the suffix says; return how many want a second pass.

    Parquet has what is most asked for in columns, and in ``delegation`` the whole as JSON.
    """
    missed = 0

    def counted() -> Iterator[Mapping[str, Any]]:
        nonlocal missed
        for row in rows:
            missed += row.get("second_pass", False)
            yield row

    if suffix == PARQUET:
        _write_parquet(counted(), path)
        return missed
    with path.open("w", encoding="utf-8") as written:
        written.writelines(json.dumps(row) + "\n" for row in counted())
    return missed


def check_format(*paths: str) -> None:
    """Refuse a Parquet file, before anything starts, where the package is missing.

    Raises:
        InputError: it is; what to install.
    """
    if any(path.endswith(PARQUET) for path in paths):
        with needed("parquet"):
            import pyarrow.parquet  # noqa: F401


def _task_of(row: Any, where: str) -> str:
    task = row.get("task") if isinstance(row, dict) else row
    if not isinstance(task, str):
        raise InputError(f"{where}: expected {_TASK_LINE}")
    if isinstance(row, dict):
        _check_fields([name for name, value in row.items() if value is not None], where)
    try:
        check_task(task)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return task


def _id_of(row: Any, where: str) -> Id | None:
    known = row.get("id") if isinstance(row, dict) else None
    if known is not None and (isinstance(known, bool) or not isinstance(known, str | int)):
        raise InputError(f"{where}: id must be a text or a whole number, not {known!r:.80}")
    return known


def _check_fields(names: Iterable[str], where: str) -> None:
    """Refuse what would be lost: an answer without it may be another, or of a hidden agent.

    Raises:
        InputError: the first field that a batch does not read, or that nearly spells one.
    """
    for name in names:
        meant = name if name in _OF_A_CALL else misspelled(name, _OF_A_CALL)
        if meant is not None:
            said = f"{where}: {printable(name)} is not read from a batch"
            raise InputError(f"{said}: {_OF_A_CALL[meant]}")


def _jsonl_rows(path: str) -> Iterator[tuple[int, Any]]:
    for row, (number, line) in enumerate(jsonl_lines(path)):
        if row == 0 and line.lstrip().startswith(b"["):
            raise InputError(f"{path}: a JSON array; a batch reads {_TASK_LINE}")
        yield number, partial(_parsed, line, f"{path}: line {number}")


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json_of(line, where)
    except InputError as error:
        said = str(error).removeprefix(f"{where}: ")
        raise InputError(f"{where}: expected {_TASK_LINE}: {said}") from error


def _parquet_rows(path: str) -> Iterator[tuple[int, Any]]:
    check_format(path)
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        require_regular(Path(path))
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        if "task" not in names:
            raise InputError(f"{path}: no column named task")
        _check_fields(names, path)
        columns = [name for name in ("task", "id") if name in names]
        number = 0
        for batch in file.iter_batches(columns=columns):
            for cells in zip(*(batch.column(name) for name in columns), strict=True):
                number += 1
                cell = dict(zip(columns, cells, strict=True))
                yield number, partial(_cell_values, cell, f"{path}: line {number}")
    # A damaged file may hold texts that are none, and numbers that Python has no type for.
    except (OSError, ArrowException, ValueError, OverflowError) as error:
        raise InputError(f"{path}: cannot be read: {one_line(str(error))}") from error


def _cell_values(cells: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the values of a row of Parquet.

    Raises:
        InputError: one of them is none, such as text that is not UTF-8.
    """
    try:
        return {name: cell.as_py() for name, cell in cells.items()}
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: cannot be read: {one_line(str(error))}") from error


def _fit_for_text(value: Any) -> Any:
    """Return a value whose texts UTF-8 can hold: a half character becomes a question mark."""
    if isinstance(value, str):
        return utf8_bytes(value).decode()
    if isinstance(value, list):
        return [_fit_for_text(part) for part in value]
    if isinstance(value, dict):
        return {name: _fit_for_text(part) for name, part in value.items()}
    return value


def _write_parquet(rows: Iterator[Mapping[str, Any]], path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    text, number = arrow.string(), arrow.float64()
    share = arrow.struct([("name", text), ("probability", number)])
    fields = {
        "line": arrow.int64(),
        **dict.fromkeys(("id", "task", "decision", "agent"), text),
        "confidence": number,
        "calibrated_by": text,
        "several": number,
        "reason": text,
        "top3": arrow.list_(share),
        "error": text,
        "second_pass": arrow.bool_(),
        "delegation": text,
    }
    schema = arrow.schema(list(fields.items()))
    with parquet.ParquetWriter(path, schema) as writer:
        while some := list(islice(rows, _GROUP)):
            columns = [
                {name: _fit_for_text(row.get(name)) for name in fields}
                | {
                    "id": None if row.get("id") is None else _fit_for_text(str(row["id"])),
                    "calibrated_by": row.get("evidence", {}).get("calibrated_by"),
                    "second_pass": row.get("second_pass", False),
                    "delegation": None if "error" in row else json.dumps(row),
                }
                for row in some
            ]
            writer.write_table(arrow.Table.from_pylist(columns, schema=schema))
