"""Fit channel weights and temperature of retrieval by maximum likelihood."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from optimize.search.scored import READINGS, ScoredRequests
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import CHANNELS

_RIDGE = 0.02  # pulls weights that the requests do not need towards 0
HEAD_C = (3.0, 10.0, 30.0, 100.0)
# Channels that say different things: with few requests to fit on, the cosines of whole texts
# add more noise to the fusion than they add knowledge.
LEAN = ("bm25", "chars", "head", "maxsim", "maxsim_reverse")


def fit_temperature(scored: ScoredRequests, fused: np.ndarray) -> float:
    """Return the temperature of greatest likelihood (Guo et al., 2017)."""
    best: Any = minimize_scalar(
        lambda log_t: -scored.log_likelihood(fused, float(np.exp(log_t))),
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
    )
    return float(np.exp(best.x))


def with_reading(knobs: KnobValues, name: str) -> KnobValues:
    """Return the knobs with one of the ``READINGS``, by name."""
    most, beside_samples = READINGS[name]
    return knobs.replaced(
        {"retrieval.passages": most, "retrieval.passages_beside_samples": beside_samples}
    )


def fit_weights(
    scored: ScoredRequests, start: KnobValues, channels: Sequence[str] = CHANNELS
) -> KnobValues:
    """Return the knobs with channel weights of greatest likelihood (conditional logit).

    McFadden's conditional logit over the standardized channels, weights at least 0,
    ridge penalty, for the head and the reading of passages of greatest likelihood.

    Args:
        scored: labeled requests.
        start: every other knob.
        channels: those that may have a weight; the others get 0.
    """
    readings = [with_reading(start, name) for name in scored.readings] or [start]
    fitted = [
        _conditional_logit(scored, given.replaced({"retrieval.head_c": c}), channels)
        for given in readings
        for c in HEAD_C
    ]
    return max(fitted, key=lambda pair: pair[0])[1]


def _conditional_logit(
    scored: ScoredRequests, knobs: KnobValues, channels: Sequence[str]
) -> tuple[float, KnobValues]:
    features = np.stack([scored.z_scores(c, knobs) for c in channels], axis=2)
    labels = np.array([label[0] for label in scored.labels])
    rows = np.arange(len(labels))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = features @ weights
        scores -= scores.max(axis=1, keepdims=True)
        probabilities = np.exp(scores)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        gap = features[rows, labels] - np.einsum("na,nac->nc", probabilities, features)
        value = -np.log(probabilities[rows, labels]).mean() + _RIDGE * weights @ weights
        return float(value), -gap.mean(axis=0) + 2 * _RIDGE * weights

    start = np.full(len(channels), 0.3)
    best = minimize(loss, start, jac=True, bounds=[(0.0, None)] * len(channels))
    weights: dict[str, Any] = {f"retrieval.{channel}": 0.0 for channel in CHANNELS}
    weights |= {f"retrieval.{c}": float(w) for c, w in zip(channels, best.x, strict=True)}
    return -float(best.fun), knobs.replaced(weights | {"retrieval.temperature": 1.0})
