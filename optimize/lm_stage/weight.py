"""Fit the weight of the LM in the log-linear pool and estimate its gain in log-likelihood."""

from collections.abc import Sequence
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


def gain(curve: Curve, weight: float) -> float:
    """Return what a weight adds to the log-probability of a right agent; 0 if none is shown."""
    posterior, belief, right = curve
    if not right.any():
        return 0.0
    pooled = posterior * np.exp(weight * (belief - belief.max()))
    with_lm, without = pooled[right].sum() / pooled.sum(), posterior[right].sum() / posterior.sum()
    return float(np.log(max(with_lm, 1e-12)) - np.log(without))


def fit_weight(curves: Sequence[Curve]) -> float:
    """Return the weight of the LM in the pool that adds most."""
    best: Any = minimize_scalar(
        lambda weight: -np.mean([gain(curve, weight) for curve in curves]),
        bounds=(0.0, _MAX_WEIGHT),
        method="bounded",
    )
    return float(best.x)


def cross_validated_gains(curves: Sequence[Curve], seed: int) -> np.ndarray:
    """Return what the LM adds per request at a weight fitted on the others, shape (n,)."""
    folds = np.random.default_rng(seed).permutation(len(curves)) % _FOLDS
    gains = np.zeros(len(curves))
    for fold in range(_FOLDS):
        weight = fit_weight([c for c, f in zip(curves, folds, strict=True) if f != fold])
        for place in np.flatnonzero(folds == fold).tolist():
            gains[place] = gain(curves[place], weight)
    return gains


def closest_order(outcomes: Sequence[Outcome], weight: float) -> float | None:
    """Return the least distance for a second order that costs less than a standard error.

    None where every second order must be asked.
    """
    both = np.array([gain(gain_curve(outcome), weight) for outcome in outcomes])
    once = [gain_curve(outcome, 1) for outcome in outcomes]
    for close in _CLOSE:
        gains = np.array(
            [
                two if distance(curve, weight) < close else gain(curve, weight)
                for two, curve in zip(both, once, strict=True)
            ]
        )
        lost = both - gains
        if lost.mean() <= lost.std() / np.sqrt(len(lost)):
            return close
    return None


def distance(curve: Curve, weight: float) -> float:
    """Return the logarithm of first over second place after the LM was heard."""
    posterior, belief, _ = curve
    pooled = np.sort(np.log(posterior) + weight * belief)
    return float(pooled[-1] - pooled[-2]) if len(pooled) > 1 else np.inf
