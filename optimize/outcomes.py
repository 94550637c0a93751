"""What became of delegations: recorded outcomes into a dataset, and whether they still fit."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from optimize import metrics
from optimize.data import SPLITS, known_texts, load_dataset
from task_delegator.agents import fold, read_json, write_text
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback, read_feedback

_SURPRISE = 0.01  # probability under the stated confidence below which outcomes do not fit
_FEWEST = 20  # outcomes; fewer say nothing of calibration


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did.

    Attributes:
        added, strangers: labelled requests and requests for nobody that were added.
        known: rows that the dataset already had.
        conflicts: tasks with two different outcomes, left out.
        unknown: rows whose agent the registry does not have, left out.
    """

    added: int
    strangers: int
    known: int
    conflicts: tuple[str, ...]
    unknown: tuple[str, ...]


def merge(log: str | Path, data: str | Path, split: str = "train") -> Merged:
    """Add recorded outcomes to a split of a dataset directory, each task once.

    Every added row says that it came from feedback, from whom and when; the files are
    replaced whole.

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
    for key, given in sorted(outcomes.items()):
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
    _extend(dataset.path / SPLITS[split], rows)
    _extend(dataset.path / "out_of_scope.json", strangers)
    return Merged(len(rows), len(strangers), seen, tuple(conflicts), tuple(sorted(set(unknown))))


def _provenance(row: Feedback) -> dict[str, Any]:
    return {"provenance": {"feedback": row.source or "unnamed", "time": row.time}}


def _extend(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        held = read_json(path) if path.is_file() else []
        write_text(path, json.dumps([*held, *rows], indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether recorded outcomes fit the stated confidence.

    Attributes:
        n: outcomes of delegations that named an agent.
        right, stated: share that was right, and the mean stated confidence.
        p: probability of a share at least as far from the stated one, were the confidence
            calibrated (normal approximation of the Poisson-binomial distribution).
        ece, ece_calibrated_range: calibration error, and the range that chance explains.
        assigned, assigned_right: delegations that were assigned, and how many rightly.
        fits: False where the outcomes no longer fit; None where there are too few to say.
    """

    n: int
    right: float
    stated: float
    p: float
    ece: float
    ece_calibrated_range: tuple[float, float]
    assigned: int
    assigned_right: int
    fits: bool | None


def drift(log: str | Path) -> Drift:
    """Compare recorded outcomes with the confidence that was stated.

    Raises:
        InputError: the log is broken or holds no delegation with a confidence.
    """
    rows = [row for row in read_feedback(log) if row.decision in ("assign", "review")]
    if not rows:
        raise InputError(f"{log}: no delegation with a confidence; record them with --delegate")
    stated = np.array([row.confidence for row in rows])
    right = np.array([row.right for row in rows])
    spread = float(np.sqrt((stated * (1 - stated)).sum()))
    gap = float(right.sum() - stated.sum())
    p = float(2 * stats.norm.sf(abs(gap) / spread)) if spread > 0 else float(gap == 0)
    ece = metrics.expected_calibration_error(stated, right)
    low, high = metrics.calibrated_ece_range(stated)
    assigned = [row for row in rows if row.decision == "assign"]
    return Drift(
        n=len(rows),
        right=float(right.mean()),
        stated=float(stated.mean()),
        p=p,
        ece=ece,
        ece_calibrated_range=(low, high),
        assigned=len(assigned),
        assigned_right=sum(row.right for row in assigned),
        fits=None if len(rows) < _FEWEST else bool(p >= _SURPRISE and ece <= high),
    )
