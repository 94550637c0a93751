"""Recorded outcomes of delegations: merge them into a dataset, test the calibration on them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optimize import metrics
from optimize.data import SPLITS, known_texts, load_dataset
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback, read_feedback
from task_delegator.files import write_text
from task_delegator.text import fold

_FALSE_ALARMS = 0.01  # share of logs of a calibrated program that may be called misfits
_FEWEST = 20  # outcomes; with fewer, only gross misfits could be found


@dataclass(frozen=True, slots=True)
class Merged:
    """Counts of a merge.

    Attributes:
        added, strangers: labelled requests and requests for nobody that were added.
        known: tasks that the dataset already had.
        conflicts: tasks with two different outcomes, not added.
        unknown: agents that the registry does not have; their tasks were not added.
    """

    added: int
    strangers: int
    known: int
    conflicts: tuple[str, ...]
    unknown: tuple[str, ...]


def merge(log: str | Path, data: str | Path, split: str = "train") -> Merged:
    """Append recorded outcomes to a split of a dataset directory, each task once.

    New rows stand at the end of the files, in the log's order and in the files' layout. Each
    names its source and the time of the feedback.

    Args:
        log: a file of feedback.
        data: the dataset directory.
        split: ``train`` or ``validation``.

    Raises:
        InputError: the log or the dataset is broken, or the split is the test split.
    """
    if split not in ("train", "validation"):
        raise InputError(f"--split {split}: feedback goes to train or validation")
    dataset = load_dataset(data, enriched=False)
    known = known_texts(dataset)
    outcomes: dict[str, list[Feedback]] = {}
    for row in read_feedback(log):
        outcomes.setdefault(fold(row.task), []).append(row)
    rows: list[dict[str, Any]] = []
    strangers: list[dict[str, Any]] = []
    seen, conflicts, unknown = 0, [], []
    for key, given in outcomes.items():
        last = given[-1]
        if len({row.correct_agent for row in given}) > 1:
            conflicts.append(last.task)
        elif last.correct_agent is not None and last.correct_agent not in dataset.registry:
            unknown.append(last.correct_agent)
        elif key in known:
            seen += 1
        elif last.correct_agent is None:
            strangers.append({"user_request": last.task, "split": split, **_provenance(last)})
        else:
            rows.append(
                {
                    "expected_agent_name": last.correct_agent,
                    "user_requests": [last.task],
                    **_provenance(last),
                }
            )
    _append(dataset.path / SPLITS[split], rows)
    _append(dataset.path / "out_of_scope.json", strangers)
    return Merged(len(rows), len(strangers), seen, tuple(conflicts), tuple(sorted(set(unknown))))


def _provenance(row: Feedback) -> dict[str, Any]:
    return {"provenance": {"feedback": row.source or "unnamed", "time": row.time}}


def _append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        text = path.read_bytes().decode("utf-8") if path.is_file() else ""
        write_text(path, _with_rows(text, rows))


def _with_rows(text: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the text of a JSON list of objects with rows appended in its own layout.

    Everything that is there stays as it is, so that a new row is all that a diff shows.
    """
    layout = re.match(r"\s*\[(\s*)\{(\s*)", text)
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


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether recorded outcomes fit the stated confidence.

    Attributes:
        n: outcomes of delegations that named an agent.
        right, stated: share that was right, and the mean stated confidence.
        p: probability of a share at least as far from the stated one, were the confidence
            calibrated.
        ece, ece_calibrated_range: calibration error, and the range that chance explains.
        p_ece: probability of a calibration error at least as large, were it calibrated.
        assigned, assigned_right: delegations that were assigned, and how many rightly.
        fits: False where either p is below 0.5 %, which happens to a calibrated program in at
            most 1 % of the logs (Bonferroni's correction for two tests); None where it cannot
            be told: there are fewer than 20 outcomes, or only reviewed delegations.
    """

    n: int
    right: float
    stated: float
    p: float
    ece: float
    ece_calibrated_range: tuple[float, float]
    p_ece: float
    assigned: int
    assigned_right: int
    fits: bool | None

    def sentence(self) -> str:
        """Return the result in one line."""
        if self.n < _FEWEST:
            return f"{self.n} outcomes: too few to test calibration ({_FEWEST} needed)"
        if self.fits is None:
            return (
                f"{self.n} outcomes of reviewed delegations only: calibration cannot be tested, "
                "since reviewers may record corrections more often than confirmations; record "
                "outcomes of assigned tasks as well"
            )
        if self.fits:
            return f"{self.n} outcomes fit the stated confidence"
        return (
            f"{self.n} outcomes do not fit the stated confidence: {self.right:.1%} were right, "
            f"{self.stated:.1%} were expected (p = {min(1.0, 2 * min(self.p, self.p_ece)):.2g}); "
            "this assumes that outcomes are recorded whether right or wrong"
        )


def drift(log: str | Path) -> Drift:
    """Compare the outcomes of a log with the confidence that was stated.

    Raises:
        InputError: the log is broken or holds no delegation with a confidence.
    """
    found = compare_with_confidence(list(read_feedback(log)))
    if found is None:
        raise InputError(f"{log}: no delegation with a confidence; record them with --delegate")
    return found


def compare_with_confidence(feedback: Sequence[Feedback]) -> Drift | None:
    """Compare recorded outcomes with the confidence that was stated; None without any.

    Selection by confidence does no harm: of the requests with a confidence of 70 %, 70 % are
    right, however many of them are recorded. Selection by outcome does, and a log of reviewed
    delegations alone may be a list of corrections: of such a log no verdict is given.
    """
    rows = [
        row
        for row in feedback
        if row.decision in ("assign", "review") and row.confidence is not None
    ]
    if not rows:
        return None
    stated = np.array([row.confidence for row in rows], dtype=float)
    right = np.array([row.right for row in rows])
    test = metrics.calibration_test(stated, right)
    assigned = [row for row in rows if row.decision == "assign"]
    testable = len(rows) >= _FEWEST and len(assigned) > 0
    return Drift(
        n=len(rows),
        right=float(right.mean()),
        stated=float(stated.mean()),
        p=test.share_p,
        ece=metrics.expected_calibration_error(stated, right),
        ece_calibrated_range=test.ece_range,
        p_ece=test.ece_p,
        assigned=len(assigned),
        assigned_right=sum(row.right for row in assigned),
        fits=2 * min(test.share_p, test.ece_p) >= _FALSE_ALARMS if testable else None,
    )
