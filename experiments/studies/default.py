"""How well does the shipped program delegate, against BM25 on the same requests?

Without LM on the whole test split. What the embedded LM does to it was measured when
it was compiled and stands in its manifest.
"""

from typing import Any

from optimize.data import OURS, load_dataset
from optimize.evaluate import evaluate
from task_delegator.artifact import load


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one report; quick looks at 40 validation requests."""
    dataset = load_dataset(OURS)
    program = load("default", dataset.registry)
    split, limit = ("validation", 40) if quick else ("test", None)
    return [evaluate(program, dataset, split, name="default", limit=limit).to_json()]
