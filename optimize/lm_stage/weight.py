"""Fit the weight of the LM in the log-linear pool and estimate its gain in log-likelihood."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from optimize.evaluation import Outcome
from task_delegator.decision import weigh
from task_delegator.delegation import Candidate, LMEvidence
from task_delegator.stages import mean_belief

_CLOSE = (0.5, 1.0, 2.0, 4.0)  # of the logarithm of first over second place
_MAX_WEIGHT = 3.0  # of the LM's log-probabilities beside retrieval's
_FOLDS = 5

Curve = tuple[np.ndarray, np.ndarray, np.ndarray]


def gain_curve(outcome: Outcome, orders: int = 2) -> Curve:
    """Return the shortlist's posterior, the LM's log-belief, and which agents are right."""
    belief = belief_of(outcome, orders)
    found = outcome.delegation.evidence.retrieval.posterior
    posterior = {candidate.name: candidate.probability for candidate in found}
    names = list(belief)
    return (
        np.array([max(posterior[name], 1e-9) for name in names]),
        np.log(np.maximum([belief[name] for name in names], 1e-9)),
        np.array([name in outcome.request.acceptable for name in names]),
    )


def belief_of(outcome: Outcome, orders: int = 2) -> dict[str, float]:
    """Return the LM's belief over so many of the orders it was shown."""
    return mean_belief(said_by_lm(outcome).answers[:orders])


def said_by_lm(outcome: Outcome) -> LMEvidence:
    """Return what the LM said of a request.

    Raises:
        ValueError: it was not asked.
    """
    said = outcome.delegation.evidence.lm
    if said is None:
        raise ValueError(f"the LM was not asked about {outcome.request.text!r}")
    return said


def pooled(outcome: Outcome, weight: float, orders: int = 2) -> tuple[Candidate, ...]:
    """Return the posterior pooled with the LM's belief, best first."""
    posterior = outcome.delegation.evidence.retrieval.posterior
    return weigh(posterior, belief_of(outcome, orders), weight)


def gains(curves: Sequence[Curve], weight: float) -> np.ndarray:
    """Return what a weight adds to the log-probability of a right agent, shape (curves,).

    No share of a right agent counts as less than 1e-12, so that no request outweighs all others.

    Args:
        curves: of one request at least; where none of the agents shown is right, 0 is added.
        weight: of the LM in the pool.
    """
    return _gains_at(curves)(weight)


def fit_weight(curves: Sequence[Curve]) -> float:
    """Return the weight of the LM in the pool that adds most, 0 where nothing was asked."""
    if not curves:
        return 0.0
    at = _gains_at(curves)
    best: Any = minimize_scalar(
        lambda weight: -at(weight).mean(), bounds=(0.0, _MAX_WEIGHT), method="bounded"
    )
    return float(best.x)


def cross_validated_gains(curves: Sequence[Curve], seed: int) -> np.ndarray:
    """Return what the LM adds per request at a weight fitted on the others, shape (n,)."""
    folds = np.random.default_rng(seed).permutation(len(curves)) % _FOLDS
    found = np.zeros(len(curves))
    for fold in np.unique(folds):
        weight = fit_weight([c for c, f in zip(curves, folds, strict=True) if f != fold])
        own = folds == fold
        found[own] = gains([curves[place] for place in np.flatnonzero(own).tolist()], weight)
    return found


def _gains_at(curves: Sequence[Curve]) -> Callable[[float], np.ndarray]:
    """Return ``gains`` as a function of the weight; the requests stand in a row for it."""
    lengths = np.array([len(own) for own, *_ in curves], dtype=int)
    starts = np.cumsum(lengths) - lengths
    posterior = np.concatenate([own for own, *_ in curves])
    lost = np.concatenate([belief - belief.max() for _, belief, _ in curves])
    right = np.concatenate([own for *_, own in curves])
    shown = np.logical_or.reduceat(right, starts)

    def logarithm_of_right(pooled: np.ndarray) -> np.ndarray:
        share = np.add.reduceat(pooled * right, starts) / np.add.reduceat(pooled, starts)
        return np.log(np.maximum(share, 1e-12))

    without = logarithm_of_right(posterior)

    def at(weight: float) -> np.ndarray:
        added = logarithm_of_right(posterior * np.exp(weight * lost)) - without
        return np.where(shown, added, 0.0)

    return at


def closest_order(outcomes: Sequence[Outcome], weight: float) -> float | None:
    """Return the least distance for a second order that costs less than a standard error.

    None where every second order must be asked.
    """
    once = [gain_curve(outcome, 1) for outcome in outcomes]
    both = gains([gain_curve(outcome) for outcome in outcomes], weight)
    alone = gains(once, weight)
    distances = np.array([distance(curve, weight) for curve in once])
    for close in _CLOSE:
        lost = np.where(distances < close, 0.0, both - alone)
        if lost.mean() <= lost.std() / np.sqrt(len(lost)):
            return close
    return None


def distance(curve: Curve, weight: float) -> float:
    """Return the logarithm of first over second place after the LM was heard."""
    posterior, belief, _ = curve
    pooled = np.sort(np.log(posterior) + weight * belief)
    return float(pooled[-1] - pooled[-2]) if len(pooled) > 1 else np.inf
