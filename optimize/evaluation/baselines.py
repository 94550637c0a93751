"""BM25 baseline over the same texts as the program, tuned on validation."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from optimize.data import Dataset, Request
from optimize.evaluation import metrics
from optimize.evaluation.outcomes import Outcome, grade_outcomes, select
from task_delegator.delegator import Delegator
from task_delegator.retrieval import Index

CHOSEN_ON = 500  # validation requests on which BM25's setting is chosen
_DEFAULT = (1.5, 0.75)  # k1 and b where there is no validation request
_CHOSEN: dict[str, tuple[float, float]] = {}  # by digest of agents and requests


def grade_bm25(index: Index, requests: Sequence[Request], k1: float, b: float) -> np.ndarray:
    """Return whether BM25 alone ranks an acceptable agent first, shape (n,), bool."""
    winners = [index.names[int(np.argmax(index.bm25(r.text, k1, b)))] for r in requests]
    return np.array([w in r.acceptable for w, r in zip(winners, requests, strict=True)])


def choose_bm25(index: Index, requests: Sequence[Request]) -> tuple[float, float]:
    """Return the k1 and b of greatest top-1, computed once per process for the same data.

    The grid takes less than a second on ``CHOSEN_ON`` requests, so no file keeps the choice.

    Args:
        index: the agents and their samples.
        requests: validation requests.
    """
    if not requests:
        return _DEFAULT
    key = _digest(index, requests)
    if key not in _CHOSEN:
        settings = [(k1, b) for k1 in BM25_K1 for b in BM25_B]
        _CHOSEN[key] = max(settings, key=lambda s: grade_bm25(index, requests, *s).mean())
    return _CHOSEN[key]


def _digest(index: Index, requests: Sequence[Request]) -> str:
    agents = [agent.digest() for agent in index.agents]
    asked = [(request.text, request.acceptable) for request in requests]
    return hashlib.sha256(json.dumps([agents, asked]).encode()).hexdigest()


def bm25_baseline(
    program: Delegator, dataset: Dataset, outcomes: Sequence[Outcome], seed: int
) -> dict[str, Any]:
    """Compare with BM25 alone over the same texts, at its best setting on validation."""
    index = program.retrieve.library.index(program.retrieve.learned.values)
    k1, b = choose_bm25(index, select(dataset.splits["validation"], CHOSEN_ON, seed))
    theirs = grade_bm25(index, [outcome.request for outcome in outcomes], k1, b)
    comparison = metrics.compare(grade_outcomes(outcomes), theirs, seed=seed)
    return {
        "baseline_bm25_top1": float(theirs.mean()),
        "baseline_bm25": {"k1": k1, "b": b},
        "versus_bm25": asdict(comparison),
    }


BM25_K1 = (0.6, 0.9, 1.2, 1.5, 2.0)
BM25_B = (0.3, 0.5, 0.75, 0.9)
