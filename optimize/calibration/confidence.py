"""Calibrate a program: P(correct), P(in scope) and their thresholds, on validation."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy
import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss
from sklearn.model_selection import RepeatedStratifiedKFold

from optimize.calibration.logistic import Logistic
from optimize.calibration.scope import fit_scope_of
from optimize.data import Dataset
from optimize.evaluation import Outcome, delegate_all, delegate_texts, grade_outcomes
from task_delegator.artifact import ValidationScores
from task_delegator.calibration import as_without_lm
from task_delegator.decision import (
    OperatingPoint,
    Target,
    above_floor,
    choose_threshold,
    confidence_of,
    in_scope_probability,
)
from task_delegator.delegation import Delegation, Features
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import CorrectWeights, CorrectWithLMWeights, Thresholds

TARGET_PRECISION = Target().precision
OUT_OF_SCOPE_SHARE = Target().out_of_scope_share
DELTA = Target().delta
_log = logging.getLogger(__name__)

LEAST_REQUESTS = 30  # fewer are too few for a logistic model of three parameters
_FOLDS, _REPEATS = 5, 4
_UNCALIBRATED = {
    "lm.weight": 0.0,
    "lm.gate": None,
    "lm.rubric_low": 0.0,
    "lm.rubric_high": 0.0,
    "confidence.unsupported_language": 0.0,
}
# Sets of features to choose from, the smallest first.
FEATURE_SETS: tuple[tuple[str, ...], ...] = (
    ("margin",),
    ("logit",),
    ("logit", "margin"),
    ("logit", "margin", "agreement"),
    ("logit", "margin", "agreement", "similarity"),
    (
        *("logit", "margin", "agreement", "similarity"),
        *("description", "sample", "head_margin", "maxsim"),
    ),
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Result of a calibration, as manifests store it.

    Attributes:
        features: chosen for the confidence.
        losses: cross-validated log-loss of each set of features, mean and standard error.
        promise: precision and coverage of the assign threshold on validation.
        scores: of the validation requests; a threshold for another target is chosen from them.
    """

    features: tuple[str, ...]
    losses: dict[str, tuple[float, float]]
    promise: OperatingPoint
    scores: ValidationScores

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON values, numbers short."""
        return {
            "features": self.features,
            "losses": self.losses,
            "promise": asdict(self.promise),
            **self.scores.to_json(),
        }


def calibrate(
    program: Delegator,
    dataset: Dataset,
    target_precision: float = TARGET_PRECISION,
    out_of_scope_share: float = OUT_OF_SCOPE_SHARE,
    delta: float = DELTA,
) -> Calibration:
    """Fit the confidence of retrieval on the validation split; the LM is not asked.

    Sets the knobs of ``confidence`` and ``scope``, and closes the gate: an LM's gain on another
    registry does not transfer to this one.

    Args:
        target_precision: of everything that is assigned.
        out_of_scope_share: of the traffic that this precision is for.
        delta: probability of missing it that is accepted.

    Raises:
        InputError: the validation split is too small.
    """
    requests = dataset.splits["validation"]
    if len(requests) < LEAST_REQUESTS:
        raise InputError(
            f"{dataset.path}: {len(requests)} validation requests; "
            f"calibration needs at least {LEAST_REQUESTS}"
        )
    program.knobs.set(_UNCALIBRATED)
    with dspy.context(lm=None):
        outcomes = delegate_all(program, requests, "calibrate")
        outside = delegate_texts(program, dataset.out_of_scope["validation"], "out of scope")
        other_languages = delegate_all(
            program, dataset.other_languages["validation"], "other languages"
        )
    correct = grade_outcomes(outcomes)
    features = [features_of(outcome.delegation) for outcome in outcomes]
    chosen, losses = choose_features(features, correct)
    program.knobs.set(fit_confidence(features, correct, names=chosen))
    _fit_language(program, other_languages)
    inside = [outcome.delegation for outcome in outcomes]
    fit_scope_of(program, outcomes, outside)
    outside_scores = zip(_confidences(program, outside), _accepted(program, outside), strict=True)
    scores = ValidationScores(
        confidences=_confidences(program, inside),
        right=correct.tolist(),
        accepted=_accepted(program, inside).tolist(),
        out_of_scope=[c for c, accepted in outside_scores if accepted],
        n_out_of_scope=len(outside),
    )
    promise = choose_threshold(scores.sample(), Target(target_precision, out_of_scope_share, delta))
    tell(promise)
    program.knobs.set({"confidence.assign_threshold": promise.threshold})
    program.knobs.set(as_without_lm(program.knobs.values))
    return Calibration(features=chosen, losses=losses, promise=promise, scores=scores)


def tell(promise: OperatingPoint) -> None:
    """Log what a threshold promises, as a warning where it promises nothing."""
    _log.log(promise.loudness, "%s", promise.sentence())


def features_of(delegation: Delegation) -> Features:
    """Return the features that a delegation's confidence is computed from."""
    return delegation.evidence.features


def choose_features(
    features: Sequence[Features],
    correct: np.ndarray,
    sets: Sequence[tuple[str, ...]] = FEATURE_SETS,
) -> tuple[tuple[str, ...], dict[str, tuple[float, float]]]:
    """Return the smallest set of features within a standard error of the best log-loss.

    Cross-validated, stratified (the one-standard-error rule of Breiman et al., 1984), and
    the losses by set.
    """
    if min(correct.sum(), (~correct).sum()) < _FOLDS:
        return sets[0], {}
    folds = RepeatedStratifiedKFold(n_splits=_FOLDS, n_repeats=_REPEATS, random_state=0)
    per_request: dict[tuple[str, ...], np.ndarray] = {}
    for names in sets:
        given = _table(features, names)
        losses = np.zeros(len(correct))
        for train, test in folds.split(given, correct):
            model = Logistic.fit(given[train], correct[train])
            p = np.clip(model.probabilities(given[test]), 1e-9, 1 - 1e-9)
            losses[test] -= np.log(np.where(correct[test], p, 1 - p)) / _REPEATS
        per_request[names] = losses
    best = min(per_request, key=lambda names: per_request[names].mean())

    def close(names: tuple[str, ...]) -> bool:
        worse = per_request[names] - per_request[best]
        return bool(worse.mean() <= worse.std() / np.sqrt(len(worse)))

    return next(filter(close, sets)), {
        " + ".join(names): (float(losses.mean()), float(losses.std() / np.sqrt(len(losses))))
        for names, losses in per_request.items()
    }


def fit_confidence(
    features: Sequence[Features],
    correct: np.ndarray,
    names: Sequence[str] = CorrectWeights.features(),
    *,
    with_lm: bool = False,
) -> dict[str, float]:
    """Return the knobs of P(first-ranked agent is correct) over the named features.

    Args:
        features: features of labeled requests.
        correct: shape (n,), bool; whether the first-ranked agent is acceptable.
        names: of the features to read; the others get no weight.
        with_lm: fit the knobs for tasks about which the LM was asked.
    """
    weights = CorrectWithLMWeights if with_lm else CorrectWeights
    group = "confidence.correct_with_lm" if with_lm else "confidence.correct"
    knobs = {f"{group}.{name}": 0.0 for name in ("bias", *weights.features())}
    if correct.all() or not correct.any():
        # One class only: no weights can be fitted, so the bias is the smoothed rate (Laplace).
        rate = (correct.sum() + 1) / (len(correct) + 2)
        return knobs | {f"{group}.bias": float(np.log(rate / (1 - rate)))}
    return knobs | Logistic.fit(_table(features, names), correct).knobs(group, names)


def _table(features: Sequence[Features], names: Sequence[str]) -> np.ndarray:
    return np.array([[getattr(f, name) or 0.0 for name in names] for f in features], dtype=float)


def _confidences(program: Delegator, delegations: Sequence[Delegation]) -> list[float]:
    knobs = program.knobs.values
    evidence = [delegation.evidence for delegation in delegations]
    return [confidence_of(e.signals, e.features, knobs) for e in evidence]


def _in_scope(program: Delegator, delegations: Sequence[Delegation]) -> list[float]:
    knobs = program.knobs.values
    evidence = [delegation.evidence for delegation in delegations]
    return [in_scope_probability(e.signals, e.features, knobs) for e in evidence]


def _accepted(program: Delegator, delegations: Sequence[Delegation]) -> np.ndarray:
    """Return ``seem_served`` of delegations, by the thresholds without an LM."""
    found = _confidences(program, delegations), _in_scope(program, delegations)
    return seem_served(*found, program.knobs.values.thresholds())


def seem_served(
    confidences: Sequence[float], in_scope: Sequence[float], thresholds: Thresholds
) -> np.ndarray:
    """Return whether some agent seems to fit, by the threshold of "none" and by the floor.

    Args:
        confidences, in_scope: P(the first place is right) and P(some agent fits), shape (n,).
        thresholds: that the program decides by.

    Returns:
        bool, shape (n,).
    """
    sure, fits = np.array(confidences, dtype=float), np.array(in_scope, dtype=float)
    return (fits >= (thresholds.in_scope or 0.0)) & above_floor(sure, fits, thresholds)


def _fit_language(program: Delegator, outcomes: Sequence[Outcome]) -> None:
    """Shift the log-odds of unsupported languages to the accuracy on such requests."""
    in_other_languages = [
        o for o in outcomes if o.delegation.evidence.features.unsupported_language
    ]
    if not in_other_languages:
        return
    correct = [o.correct for o in in_other_languages]
    model = program.knobs.values.confidence.correct
    odds = np.array([model.log_odds(asdict(features_of(o.delegation))) for o in in_other_languages])

    def loss(shift: float) -> float:
        p = 1 / (1 + np.exp(-(odds + shift)))
        return float(log_loss(correct, p, labels=[False, True]))

    best: Any = minimize_scalar(loss, bounds=(-6.0, 0.0), method="bounded")
    program.knobs.set({"confidence.unsupported_language": float(best.x)})
