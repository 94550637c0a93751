"""Files of a batch: tasks and delegations, as JSONL or, by their suffix, as Parquet.

Parquet needs the extra ``parquet``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..feedback import json_of, jsonl_lines
from ..settings import check_task
from ..system import PARTIAL, atomic_write, needed, require_regular

PARQUET = ".parquet"
BAD = ".bad"  # suffix of the file of lines that hold no task
# What one call takes beside its task, and a batch for all of its lines or not at all.
_OF_A_CALL = {
    "permissions": "give --permissions, which hold for all lines, or delegate line by line",
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
    """

    tasks: tuple[tuple[int, str], ...]
    bad: tuple[tuple[int, str], ...]


def read_tasks(path: str) -> TaskFile:
    """Read tasks: ``{"task": "..."}`` or a string per line, or a Parquet column ``task``.

    Raises:
        InputError: the file cannot be read, or no line of it holds a task.
    """
    tasks, bad = [], []
    rows = _parquet_rows(path) if path.endswith(PARQUET) else _jsonl_rows(path)
    for number, row in rows:
        try:
            tasks.append((number, _task_of(row(), f"{path}: line {number}")))
        except InputError as error:
            bad.append((number, str(error)))
    if bad and not tasks:
        raise InputError(bad[0][1])
    return TaskFile(tuple(tasks), tuple(bad))


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


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path, suffix: str) -> None:
    """Write delegations, as the suffix says.

    Parquet has what is most asked for in columns, and in ``delegation`` the whole as JSON.
    """
    if suffix == PARQUET:
        _write_parquet(iter(rows), path)
        return
    with path.open("w", encoding="utf-8") as written:
        for row in rows:
            written.write(json.dumps(row) + "\n")


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


def _check_fields(names: Iterable[str], where: str) -> None:
    """Refuse what would be lost: an answer without it may be another, or of a hidden agent.

    Raises:
        InputError: the first field that a batch does not read.
    """
    for name in names:
        if name in _OF_A_CALL:
            raise InputError(f"{where}: {name} is not read from a batch: {_OF_A_CALL[name]}")


def _as_is(value: Any) -> Any:
    return value


def _jsonl_rows(path: str) -> Iterator[tuple[int, Any]]:
    for number, line in jsonl_lines(path):
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
        if "task" not in file.schema_arrow.names:
            raise InputError(f"{path}: no column named task")
        _check_fields(file.schema_arrow.names, path)
        number = 0
        for batch in file.iter_batches(columns=["task"]):
            for task in batch.column(0).to_pylist():
                number += 1
                yield number, partial(_as_is, task)
    except (OSError, ArrowException) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _write_parquet(rows: Iterator[Mapping[str, Any]], path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    text, number = arrow.string(), arrow.float64()
    share = arrow.struct([("name", text), ("probability", number)])
    fields = {
        **dict.fromkeys(("task", "decision", "agent"), text),
        "confidence": number,
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
                {name: row.get(name) for name in fields}
                | {
                    "second_pass": row.get("second_pass", False),
                    "delegation": None if "error" in row else json.dumps(row),
                }
                for row in some
            ]
            writer.write_table(arrow.Table.from_pylist(columns, schema=schema))
