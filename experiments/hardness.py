"""How hard is the ground truth for systems that nobody tuned?

BM25 over name, description and samples, and an untuned hybrid: the plain sum of the
standardised BM25, description and closest-sample channels. Train and validation were
steered by these figures; test was frozen before any system ran on it.
"""

from typing import Any

import numpy as np

from optimize import metrics
from optimize.data import OURS, load_dataset
from optimize.fusion import ScoredRequests
from task_delegator.embed import embedder
from task_delegator.knobs import KnobValues
from task_delegator.library import Library
from task_delegator.retrieve import CHANNELS

_SYSTEMS = {
    "BM25": ("bm25",),
    "untuned hybrid": ("bm25", "description", "sample_best"),
}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per split and system."""
    dataset = load_dataset(OURS, enriched=False)
    index = Library(dataset.registry, embedder()).index({})
    rows = []
    for split in ("train", "validation") if quick else ("train", "validation", "test"):
        scored = ScoredRequests(index, dataset.splits[split])
        for system, channels in _SYSTEMS.items():
            weights: dict[str, Any] = {c: float(c in channels) for c in CHANNELS}
            ranks = scored.ranks(scored.fused(KnobValues(**weights)))
            first, n = int(np.sum(ranks == 1)), len(ranks)
            rows.append(
                {
                    "split": split,
                    "system": system,
                    "n": n,
                    "top1": first / n,
                    "top1_ci95": metrics.wilson(first, n),
                    "top3": float(np.mean(ranks <= 3)),
                }
            )
    return rows
