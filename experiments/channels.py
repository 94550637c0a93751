"""What does each channel of retrieval add?

Weights are fitted on train and measured on validation: every channel alone, all of
them, and all but one, compared with all of them on the same requests.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.results import ROOT
from optimize import metrics
from optimize.data import OURS, load_dataset
from optimize.evaluate import select
from optimize.fusion import ScoredRequests, fit_weights
from task_delegator.embed import embedder
from task_delegator.knobs import KnobValues
from task_delegator.library import Library
from task_delegator.retrieve import CHANNELS

_MOST = 1000  # requests of a split: the public sets have thousands


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per data set and choice of channels; quick looks at ours alone."""
    folders = [OURS] if quick else [OURS, ROOT / "banking77", ROOT / "hwu64"]
    return [row for folder in folders if folder.is_dir() for row in _rows(folder)]


def _rows(folder: Path) -> list[dict[str, Any]]:
    dataset = load_dataset(folder, enriched=False)
    index = Library(dataset.registry, embedder()).index({})
    train, validation = (
        ScoredRequests(index, select(dataset.splits[split], _MOST, seed=0))
        for split in ("train", "validation")
    )

    def ranks(channels: tuple[str, ...]) -> np.ndarray:
        return validation.ranks(validation.fused(fit_weights(train, KnobValues(), channels)))

    whole = ranks(CHANNELS)
    choices = {"all": CHANNELS}
    choices |= {f"{c} alone": (c,) for c in CHANNELS}
    choices |= {f"all but {c}": tuple(o for o in CHANNELS if o != c) for c in CHANNELS}
    rows = []
    for name, channels in choices.items():
        found = ranks(channels)
        first, n = int(np.sum(found == 1)), len(found)
        rows.append(
            {
                "data": folder.name,
                "split": "validation",
                "channels": name,
                "n": n,
                "top1": first / n,
                "top1_ci95": metrics.wilson(first, n),
                "top3": float(np.mean(found <= 3)),
                "versus_all": asdict(metrics.compare(found == 1, whole == 1)),
            }
        )
    return rows
