"""Learning curve of a fine-tuning, choice of the checkpoint, early stopping."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from task_delegator.errors import InputError


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a learning curve, one per evaluation; none where the file is missing.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise InputError(f"{path}: is damaged; name another --out") from error


def choose_checkpoint(curve: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the number of the evaluation with the highest score, the latest among equals.

    Evaluation 0 is the untrained LM. It is a baseline and no candidate: an LM that always picks
    the first place scores like retrieval in one of the two orders. None without another one.
    """
    trained = range(1, len(curve))
    return max(trained, key=lambda i: (curve[i]["score"], i), default=None)


def should_stop(curve: Sequence[Mapping[str, Any]], patience: int) -> bool:
    """Return whether the last ``patience`` evaluations brought no better score."""
    chosen = choose_checkpoint(curve)
    return chosen is not None and len(curve) - 1 - chosen >= patience
