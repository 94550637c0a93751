"""Places of right agents by retrieval alone: knobs chosen on labeled requests, and rates."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optimize.checkpoint import digest_of, identity_of
from optimize.data import Dataset, Request
from optimize.evaluation import select
from optimize.evaluation.metrics import wilson
from optimize.search import LEAN, ScoredRequests, fit_weights, search
from task_delegator.embedders import embedder, remembering
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import CHANNELS, Index
from task_delegator.system import read_json, write_text

_KEPT = Path("runs/ranks")
_CHOSEN_ON, _TRIALS = 400, 40  # validation requests at most, that knobs are chosen on


def kept_ranks(dataset: Dataset, spec: str, asked: Sequence[Request]) -> np.ndarray:
    """Return what ``retrieval_ranks`` does, from an earlier run of the same code on the same files.

    A registry takes minutes, and a study that is stopped is not to ask its test again.
    """
    sizes = len(asked), _CHOSEN_ON, _TRIALS
    identity = identity_of(dataset, embedder=embedder(spec).id, sizes=sizes)
    path = _KEPT / f"{digest_of(identity)}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(retrieval_ranks(dataset, spec, asked).tolist()) + "\n")
    return np.array(read_json(path))


def retrieval_ranks(dataset: Dataset, spec: str, asked: Sequence[Request]) -> np.ndarray:
    """Return the place of the first right agent, shape (n,), with knobs chosen on validation."""
    embed = embedder(spec)
    with remembering(embed):
        index = Index(dataset.registry, embed)
        chosen_on = ScoredRequests(index, select(dataset.splits["validation"], _CHOSEN_ON, seed=0))
        knobs = choose_knobs(chosen_on, _TRIALS)
        scored = ScoredRequests(index, asked)
        return scored.ranks(scored.fused(knobs))


def choose_knobs(scored: ScoredRequests, trials: int) -> KnobValues:
    """Return the knobs that rank requests best, from the fitted weights of all and few channels."""
    starts = [KnobValues()]
    starts += [fit_weights(scored, KnobValues(), kinds) for kinds in (CHANNELS, LEAN)]
    knobs, _ = search(scored, starts, trials=trials, seed=0)
    return knobs


def rates_within(ranks: np.ndarray, places: Mapping[str, int]) -> dict[str, Any]:
    """Return the share of requests within each number of places, with Wilson intervals.

    Args:
        ranks: place of the first right agent, from 1, shape (n,).
        places: numbers of places by the name of their rate.
    """
    rates: dict[str, Any] = {}
    for name, place in places.items():
        right = int((ranks <= place).sum())
        rates |= {name: right / len(ranks), f"{name}_ci95": wilson(right, len(ranks))}
    return rates
