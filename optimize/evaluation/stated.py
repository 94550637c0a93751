"""What a program's confidence is stated of: the traffic that it takes for granted, or in scope.

A confidence that was calibrated is P(right if some agent fits) times P(some agent fits), and takes
a share of the requests to be for nobody. It is judged on requests in scope and out of scope that
are weighted to that share; where there are none out of scope, P(right if some agent fits) is.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from optimize.evaluation import metrics
from task_delegator.decision import CONFIDENCE_FLOOR
from task_delegator.delegation import Delegation
from task_delegator.knobs import KnobValues

# For nobody, of the requests of other registries that a confidence is fitted to.
_OF_REGISTRIES = 0.2


@dataclass(frozen=True, slots=True)
class Stated:
    """What a program states of requests, beside what is so.

    Attributes:
        confidences: shape (n,), 0..1.
        right: shape (n,), whether the first agent is right; of none out of scope.
        inside: shape (n,), whether some agent fits.
        fits: P(some agent fits), shape (n,).
        share: of the requests that are for nobody, which all are weighted to; None where the
            confidences are those in scope and there are no others.
    """

    confidences: np.ndarray
    right: np.ndarray
    inside: np.ndarray
    fits: np.ndarray
    share: float | None

    @property
    def weights(self) -> np.ndarray:
        """What each request counts, shape (n,); the sum is 1."""
        return _weights(self.inside, self.share)


def state(
    inside: Sequence[Delegation],
    correct: np.ndarray,
    outside: Sequence[Delegation],
    knobs: KnobValues,
    share: float | None = None,
) -> Stated:
    """Return what a program states of the requests of a split.

    Args:
        inside: delegations of requests in scope.
        correct: whether their first agent is right, shape (n,).
        outside: delegations of requests out of scope.
        knobs: of the program.
        share: of the requests for nobody to weight to; None for the program's own.
    """
    own = share_of(inside, knobs)
    if own is None or not outside:
        sure = [right_if_some_fits(one, knobs) for one in inside]
        return state_in_scope(np.array(sure), correct)
    both = [one.evidence for one in (*inside, *outside)]
    return Stated(
        confidences=np.array([evidence.correct_score for evidence in both]),
        right=np.concatenate([correct.astype(bool), np.zeros(len(outside), dtype=bool)]),
        inside=np.arange(len(both)) < len(inside),
        fits=np.array([evidence.in_scope_score for evidence in both]),
        share=own if share is None else share,
    )


def state_in_scope(confidences: np.ndarray, correct: np.ndarray) -> Stated:
    """Return what confidences state of requests in scope, P(some agent fits) no part of them.

    Args:
        confidences: shape (n,), 0..1.
        correct: whether the first agent is right, shape (n,).
    """
    every = np.ones(len(confidences), dtype=bool)
    return Stated(confidences, correct.astype(bool), every, np.ones(len(confidences)), None)


def share_of(delegations: Iterable[Delegation], knobs: KnobValues) -> float | None:
    """Return the share of requests for nobody that most of the confidences take for granted.

    None where P(some agent fits) is no part of them.
    """
    shares = Counter(_share(delegation, knobs) for delegation in delegations)
    return shares.most_common(1)[0][0] if shares else None


def _share(delegation: Delegation, knobs: KnobValues) -> float | None:
    evidence = delegation.evidence
    if evidence.calibrated_by == "registries":
        return _OF_REGISTRIES
    if not evidence.calibrated:
        return None
    return knobs.scope.share if evidence.lm is None else knobs.scope.share_with_lm


def right_if_some_fits(delegation: Delegation, knobs: KnobValues) -> float:
    """Return P(the first agent is right if some agent fits); the confidence where it is that."""
    evidence = delegation.evidence
    if not evidence.calibrated or _share(delegation, knobs) is None:
        return evidence.correct_score
    return if_some_fits(evidence.correct_score, evidence.in_scope_score)


def if_some_fits(confidence: float, fits: float) -> float:
    """Return P(right if some agent fits) of a confidence that P(some agent fits) is part of."""
    return min(confidence / fits, 1.0) if fits > 0 else confidence


def calibration_error(stated: Stated) -> float:
    """Return the ECE over bins of equal weight (Nguyen and O'Connor 2015), 0..1."""
    if stated.share is None:
        return metrics.expected_calibration_error(stated.confidences, stated.right)
    order = np.argsort(stated.confidences, kind="stable")
    return _error(stated.confidences[order], stated.right[order], stated.weights[order])


def _error(confidences: np.ndarray, right: np.ndarray, weights: np.ndarray) -> float:
    """Return the ECE of requests in the order of their confidence."""
    middle = np.cumsum(weights) - weights / 2
    bins = np.minimum((middle * metrics.ECE_BINS).astype(int), metrics.ECE_BINS - 1)
    gaps = np.bincount(bins, weights * (right - confidences), minlength=metrics.ECE_BINS)
    return float(np.abs(gaps).sum())


def calibrated_error_range(stated: Stated, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the central 95 % of the ECE that a perfectly calibrated program would show.

    Which requests are in scope and which first agents are right is drawn from the program's own
    probabilities, those of the split's mixture of both kinds by Bayes' rule.
    """
    if stated.share is None:
        return metrics.calibrated_ece_range(stated.confidences, draws, seed)
    order = np.argsort(stated.confidences, kind="stable")
    confidences = stated.confidences[order]
    fits = np.clip(stated.fits[order], CONFIDENCE_FLOOR, 1 - CONFIDENCE_FLOOR)
    there = stated.inside.mean()
    odds = fits / (1 - fits) * (there / (1 - there)) * (stated.share / (1 - stated.share))
    in_scope, given = odds / (1 + odds), np.minimum(confidences / fits, 1.0)
    rng = np.random.default_rng(seed)
    errors = []
    for _ in range(draws):
        inside = rng.random(len(order)) < in_scope
        right = inside & (rng.random(len(order)) < given)
        if 0 < inside.sum() < len(inside):
            errors.append(_error(confidences, right, _weights(inside, stated.share)))
    low, high = np.quantile(errors, [0.025, 0.975]) if errors else (0.0, 1.0)
    return float(low), float(high)


def _weights(inside: np.ndarray, share: float | None) -> np.ndarray:
    if share is None:
        return np.full(len(inside), 1 / len(inside))
    return np.where(inside, (1 - share) / inside.sum(), share / (~inside).sum())


def brier(stated: Stated) -> float:
    """Return the mean squared difference of confidence and outcome (Brier 1950)."""
    return float(stated.weights @ (stated.confidences - stated.right) ** 2)


def log_losses(stated: Stated) -> np.ndarray:
    """Return the log-loss of each request, shape (n,), unweighted."""
    sure = np.clip(stated.confidences, CONFIDENCE_FLOOR, 1 - CONFIDENCE_FLOOR)
    return -np.log(np.where(stated.right, sure, 1 - sure))
