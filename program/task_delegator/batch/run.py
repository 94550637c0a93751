"""Delegate many tasks into a file: what is finished is kept, whatever ends the process.

Rows go to a journal beside the file (``.partial``), which one process holds. The same tasks with
the same program go on from it; when all are done, the file appears whole and the journal goes.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from ..delegator import Delegator
from ..errors import DelegatorError, InputError
from ..system import PARTIAL, append_line, cut_unfinished_line, held, replacing, sha256_text
from .engine import Delegate
from .files import Id, write_rows


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch wrote.

    Attributes:
        rows: all of them.
        kept: those that an earlier run had finished.
        failed: those that say an error.
        second_pass: those that were decided without the LM, which was needed.
        exit_code: of the worst error; 0 where there is none.
    """

    rows: int
    kept: int
    failed: int
    second_pass: int
    exit_code: int


def program_digest(delegator: Delegator, **settings: Any) -> str:
    """Return a digest of what delegations depend on: program, agents, models, settings."""
    facts = {
        "program": delegator.dump_state(),
        "agents": delegator.registry.sha256(),
        "embedder": delegator.retrieve.library.embed.id,
        "reranker": delegator.retrieve.rerank.id,
        **settings,
    }
    return sha256_text(json.dumps(facts, sort_keys=True, default=str))


def delegate_batch(
    tasks: Sequence[tuple[int, str]],
    delegate: Delegate,
    out: Path,
    program: str,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda rows, _: rows,
    ids: Mapping[int, Id] = MappingProxyType({}),
) -> Batch:
    """Write one row per task: its delegation, or ``{"task": ..., "error": ...}``.

    Each begins with the ``line`` of its task, and with its ``id`` where it has one.

    Args:
        tasks: line numbers, each once, and tasks.
        delegate: delegates tasks: yields a row or an error of each, in order.
        out: JSONL file to write or replace.
        program: digest of all that delegations depend on but the tasks.
        progress: shows how many tasks are done of so many that are left.
        ids: of tasks, by line number.

    Raises:
        InputError: another batch writes the file, the journal holds other rows, or the file
            cannot be written.
        DelegatorError: a task failed as all others would.
    """
    journal = out.with_name(out.name + PARTIAL)
    try:
        with held(journal, f"{out}: another batch is writing it; name another file") as file:
            header = {"batch": sha256_text(json.dumps([program, tasks]))}
            places = _resume(file, header, dict(tasks), journal)
            kept = len(places)
            left = [(number, task) for number, task in tasks if number not in places]
            try:
                answers = delegate([task for _, task in left])
                pairs = progress(zip(left, answers, strict=True), len(left))
                errors = _delegate(pairs, file, places)
                with journal.open("rb") as rows, replacing(out) as partial:
                    own = _rows_at((places[number] for number, _ in tasks), rows)
                    named = (
                        {"line": number} | ({"id": ids[number]} if number in ids else {}) | row
                        for (number, _), row in zip(tasks, own, strict=True)
                    )
                    missed = write_rows(named, partial, out.suffix)
            except BaseException:
                if not places:
                    journal.unlink()
                raise
            journal.unlink()
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error
    worst = max((error.exit_code for error in errors), default=0)
    return Batch(
        rows=len(tasks), kept=kept, failed=len(errors), second_pass=missed, exit_code=worst
    )


def _resume(
    file: IO[bytes], header: Mapping[str, Any], tasks: Mapping[int, str], journal: Path
) -> dict[int, int]:
    """Return where the journal's finished rows begin, by their tasks' lines.

    Raises:
        InputError: it belongs to other tasks or another program.
    """
    cut_unfinished_line(file)
    with journal.open("rb") as rows:
        first = rows.readline()
        if not first:
            append_line(file, json.dumps(header).encode())
            return {}
        if _value(first) != header:
            raise InputError(
                f"{journal}: holds rows of other tasks, or of another program, agents or options; "
                "remove it, or name another file"
            )
        places, start = {}, len(first)
        for line in rows:
            match _value(line):
                case {"line": int(number), "row": {"task": task, **row}} if (
                    task == tasks.get(number) and "error" not in row
                ):
                    places[number] = start
            start += len(line)
    return places


def _delegate(
    answers: Iterable[tuple[tuple[int, str], dict[str, Any] | DelegatorError]],
    file: IO[bytes],
    places: dict[int, int],
) -> list[DelegatorError]:
    """Append a row per task to the journal, and its place; return the errors that rows say."""
    errors = []
    for (number, task), answer in answers:
        row = answer
        if isinstance(answer, DelegatorError):
            if answer.exit_code == InputError.exit_code:  # the others would fail as well
                raise type(answer)(
                    f"line {number}: {answer} ({len(places)} finished lines are kept: "
                    "the same command goes on)"
                ) from answer
            row = {"task": task, "error": str(answer)}
            errors.append(answer)
        start = file.seek(0, os.SEEK_END)
        append_line(file, json.dumps({"line": number, "row": row}).encode())
        places[number] = start
    return errors


def _rows_at(places: Iterable[int], rows: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the journal's rows at some places, in their order."""
    for place in places:
        rows.seek(place)
        yield json.loads(rows.readline())["row"]


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
