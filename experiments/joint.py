"""Is the shipped program better than the first version's? One ranks with all that came since.

``python -m optimize joint default`` searched retrieval, expansion, prompt and gate together and
found nothing better than the shipped program (the log says what was tried). Here it stands beside
the knobs that the first version shipped (commit 7c81554: seven channels, the late interaction in
one direction), over the same completed agents and requests, neither asking an LM.
"""

from dataclasses import asdict
from typing import Any

import dspy

from optimize import metrics
from optimize.data import OURS, load_dataset
from optimize.evaluate import delegate_all, outcomes_right, select
from task_delegator.artifact import load
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues

FIRST: dict[str, Any] = {
    "k": 5,
    "bm25": 0.0256,
    "chars": 0.7824,
    "description": 0.0618,
    "sample_best": 0.1627,
    "sample_mean": 0.3319,
    "head": 1.0166,
    "late": 1.2864,
    "back": 0.0,
    "bm25_k1": 1.5,
    "bm25_b": 0.75,
    "head_c": 10.0,
    "temperature": 1.6117,
}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per program and split; quick: 20 validation requests."""
    dataset = load_dataset(OURS)
    ours = load("default", dataset.registry)
    programs = {
        "shipped": ours,
        "first version's knobs": _with(ours, FIRST),
    }
    rows = []
    for split in ("validation",) if quick else ("validation", "test"):
        requests = select(dataset.splits[split], 20 if quick else None, seed=0)
        with dspy.context(lm=None):
            right = {
                name: outcomes_right(delegate_all(program, requests, name))
                for name, program in programs.items()
            }
        for name, each in right.items():
            rows.append(
                {
                    "program": name,
                    "split": split,
                    "n": len(each),
                    "top1": float(each.mean()),
                    "top1_ci95": metrics.wilson(int(each.sum()), len(each)),
                    "shipped_over_it": asdict(metrics.compare(right["shipped"], each)),
                }
            )
    return rows


def _with(program: Delegator, knobs: dict[str, Any]) -> Delegator:
    copy = program.deepcopy()
    copy.knobs.values = KnobValues(**knobs)
    return copy
