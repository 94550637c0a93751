"""The course of a fine-tuning: one row per evaluation, the first before any training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from task_delegator.errors import InputError


def read_course(path: Path) -> list[dict[str, Any]]:
    """Return the evaluations so far; none where there is no such file.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise InputError(f"{path}: is damaged; name another --out") from error


def best_state(course: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the evaluation with the highest score, the later among equals.

    The LM as it is, evaluated first, is there to compare with and no candidate: by always taking
    the first place it is as good as retrieval in half of the orders. None where it is alone.
    """
    trained = range(1, len(course))
    return max(trained, key=lambda i: (course[i]["score"], i), default=None)


def exhausted(course: Sequence[Mapping[str, Any]], patience: int) -> bool:
    """Return whether so many evaluations since the best state were no better."""
    best = best_state(course)
    return best is not None and len(course) - 1 - best >= patience
