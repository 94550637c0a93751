"""Is the BM25 that the program is compared with as good as it gets?

Reports choose its setting among 20 on validation; here beside the choice among 70 that reach
further, on the same validation requests, and what either does on test.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from experiments.public import public_sets
from optimize import metrics
from optimize.data import OURS, Dataset, load_dataset
from optimize.evaluate import CHOSEN_ON, bm25_right, select
from optimize.fusion import BM25_B, BM25_K1
from task_delegator.embed import embedder
from task_delegator.library import Library

_WIDE_K1 = (0.1, 0.3, 0.6, 0.9, 1.2, 1.5, 2.0, 3.0, 5.0, 8.0)
_WIDE_B = (0.0, 0.15, 0.3, 0.5, 0.75, 0.9, 1.0)


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per set; quick: ours as written, 60 requests of validation for both."""
    grids = {
        "narrow": [(k1, b) for k1 in BM25_K1 for b in BM25_B],
        "wide": [(k1, b) for k1 in _WIDE_K1 for b in _WIDE_B],
    }
    rows = []
    for name, dataset in _datasets(quick):
        index = Library(dataset.registry, embedder()).index({})
        split = "validation" if quick else "test"
        chosen_on = select(dataset.splits["validation"], 60 if quick else CHOSEN_ON, seed=0)
        asked = chosen_on if quick else dataset.splits[split]
        settings = {setting for grid in grids.values() for setting in grid}
        score = {s: float(bm25_right(index, chosen_on, *s).mean()) for s in settings}
        best = {which: max(grid, key=score.__getitem__) for which, grid in grids.items()}
        right = {which: bm25_right(index, asked, *setting) for which, setting in best.items()}
        rows.append(
            {
                "data": name,
                "split": split,
                "n": len(asked),
                "chosen_on": len(chosen_on),
                "validation": {which: score[setting] for which, setting in best.items()},
                "setting": best,
                "top1": {which: float(found.mean()) for which, found in right.items()},
                "top1_ci95": {
                    which: metrics.wilson(int(found.sum()), len(found))
                    for which, found in right.items()
                },
                "wide_versus_narrow": asdict(metrics.compare(right["wide"], right["narrow"])),
            }
        )
    return rows


def _datasets(quick: bool) -> Iterator[tuple[str, Dataset]]:
    yield "ours, as written", load_dataset(OURS, enriched=False)
    if not quick:
        yield "ours", load_dataset(OURS)
        yield from public_sets()
