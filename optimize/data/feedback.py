"""Merge recorded feedback into a dataset."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimize.data.answers import agreed, last_answers
from optimize.data.dataset import SPLITS, Dataset, known_texts, load_dataset
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback, read_feedback
from task_delegator.system import one_at_a_time, write_text
from task_delegator.text import fold

_LOCK = ".merge.lock"  # in a dataset directory, while one process adds to it


@dataclass(frozen=True, slots=True)
class Merged:
    """Counts of a merge.

    Attributes:
        added, out_of_scope: added requests, labeled and out of scope.
        known: tasks that the dataset already holds.
        conflicts: tasks of which two persons say different things, or something else than the
            dataset's label or sample; they are not added.
        unknown: agents that are not in the registry; their tasks are not added.
    """

    added: int
    out_of_scope: int
    known: int
    conflicts: tuple[str, ...]
    unknown: tuple[str, ...]


def merge(log: str | Path, data: str | Path, split: str = "train") -> Merged:
    """Append the outcomes of a file of feedback to a dataset directory; see ``merge_rows``."""
    return merge_rows(read_feedback(log), data, split)


def merge_rows(rows: Iterable[Feedback], data: str | Path, split: str = "train") -> Merged:
    """Append recorded outcomes to a split of a dataset directory, each task once.

    The last answer of each person counts (``last_answers``).
    New rows are appended in the outcomes' order and in the layout of the files. Each names its
    source and the time of the feedback. Processes take turns.

    Args:
        rows: the outcomes.
        data: the dataset directory.
        split: ``train`` or ``validation``.

    Raises:
        InputError: the log or the dataset is broken, or the split is the test split.
    """
    _check_split(split)
    with one_at_a_time(Path(data) / _LOCK):
        return _merge(rows, load_dataset(data, enriched=False), split)


def _check_split(split: str) -> None:
    if split not in ("train", "validation"):
        raise InputError(f"--split {split}: feedback goes to train or validation")


def _merge(given_rows: Iterable[Feedback], dataset: Dataset, split: str) -> Merged:
    known, labels = known_texts(dataset), _labels(dataset)
    rows: list[dict[str, Any]] = []
    out_of_scope: list[dict[str, Any]] = []
    seen, conflicts, unknown = 0, [], []
    for key, given in last_answers(given_rows).items():
        last = given[-1]
        if not agreed(given) or last.correct_agent not in labels.get(key, {last.correct_agent}):
            conflicts.append(last.task)
        elif last.correct_agent is not None and last.correct_agent not in dataset.registry:
            unknown.append(last.correct_agent)
        elif key in known:
            seen += 1
        elif last.correct_agent is None:
            out_of_scope.append({"user_request": last.task, "split": split, **_provenance(last)})
        else:
            rows.append(
                {
                    "expected_agent_name": last.correct_agent,
                    "user_requests": [last.task],
                    **_provenance(last),
                }
            )
    _append(dataset.path / SPLITS[split], rows)
    _append(dataset.path / "out_of_scope.json", out_of_scope)
    return Merged(len(rows), len(out_of_scope), seen, tuple(conflicts), tuple(sorted(set(unknown))))


def _labels(dataset: Dataset) -> dict[str, set[str | None]]:
    """Return who is right for each request and sample, folded for comparison; None for nobody."""
    labels: dict[str, set[str | None]] = {}
    for agent in dataset.registry:
        for sample in agent.user_request_samples:
            labels.setdefault(fold(sample), set()).add(agent.name)
    for split in dataset.splits.values():
        for request in split:
            labels.setdefault(fold(request.text), set()).update(request.acceptable)
    for texts in dataset.out_of_scope.values():
        for text in texts:
            labels.setdefault(fold(text), set()).add(None)
    return labels


def _provenance(row: Feedback) -> dict[str, Any]:
    return {"provenance": {"feedback": row.source or "unnamed", "time": row.time}}


def _append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        text = path.read_bytes().decode("utf-8") if path.is_file() else ""
        write_text(path, _with_rows(text, rows))


def _with_rows(text: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the text of a JSON list of objects with rows appended in the layout of the list.

    Existing text is unchanged, so that a diff shows only the new rows.
    """
    layout = re.match(r"\ufeff?\s*\[(\s*)\{(\s*)", text)  # behind a byte order mark too
    if layout is None:  # an empty list, or no file
        return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    before_row, in_row = layout.groups()
    escaped = text.isascii() and "\\u" in text
    indent = (before_row or in_row).rpartition("\n")[2] if "\n" in in_row else None
    written = [json.dumps(row, indent=indent, ensure_ascii=escaped) for row in rows]
    newline = "\r\n" if "\r\n" in text else "\n"
    between = before_row.rpartition("\n")[2] if "\n" in before_row else ""
    further = [row.replace("\n", newline + between) for row in written]
    held = text.rstrip().removesuffix("]").rstrip()
    return "".join([held, *(f",{before_row or ' '}{row}" for row in further), text[len(held) :]])
