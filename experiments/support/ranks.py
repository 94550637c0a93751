"""Places of right agents by retrieval alone: knobs chosen on labeled requests, and rates."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from optimize.evaluation.metrics import wilson
from optimize.search import LEAN, ScoredRequests, fit_weights, search
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import CHANNELS


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
