"""Calibrate a program on labeled requests: confidence, P(some agent fits), thresholds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy
import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss
from sklearn.model_selection import RepeatedStratifiedKFold

from optimize.calibration.logistic import Logistic
from optimize.data import Dataset
from optimize.evaluation import Outcome, delegate_all, outcomes_right
from task_delegator.decision import (
    OperatingPoint,
    choose_threshold,
    correct_probability,
    in_scope_features,
    in_scope_probability,
)
from task_delegator.delegation import Delegation, Features
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import CorrectWeights, CorrectWithLMWeights, InScopeWeights

TARGET_PRECISION = 0.95
_TURNED_AWAY = 0.03  # of the requests in scope may fall below the "none" threshold
LEAST_REQUESTS = 30  # fewer cannot carry a logistic model of three numbers
_FOLDS, _REPEATS = 5, 4
_BEFORE = {
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
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What calibrating found.

    Attributes:
        features: that the confidence reads, of those that it could.
        losses: cross-validated log-loss of each set of features, mean and standard error.
        promise: what the assign threshold does on validation.
        confidences, right: of the validation requests, from which thresholds for another
            precision are chosen.
        out_of_scope: confidence of the validation requests that are out of scope and not
            turned away.
    """

    features: tuple[str, ...]
    losses: dict[str, tuple[float, float]]
    promise: OperatingPoint
    confidences: tuple[float, ...]
    right: tuple[bool, ...]
    out_of_scope: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON values, numbers short."""
        return asdict(self) | {
            "confidences": [round(c, 6) for c in self.confidences],
            "out_of_scope": [round(c, 6) for c in self.out_of_scope],
        }


def calibrate(
    program: Delegator, dataset: Dataset, target_precision: float = TARGET_PRECISION
) -> Calibration:
    """Fit the confidence of retrieval on the validation split; the LM is not asked.

    Sets the knobs of ``confidence`` and ``scope``, and closes the gate: what an LM's answers
    were worth elsewhere says nothing of this registry.

    Raises:
        InputError: the validation split is too small.
    """
    requests = dataset.splits["validation"]
    if len(requests) < LEAST_REQUESTS:
        raise InputError(
            f"{dataset.path}: {len(requests)} validation requests; "
            f"calibration needs at least {LEAST_REQUESTS}"
        )
    program.knobs.set(_BEFORE)
    with dspy.context(lm=None):
        outcomes = delegate_all(program, requests, "calibrate")
        outside = [program(text) for text in dataset.out_of_scope["validation"]]
        foreign = delegate_all(program, dataset.foreign["validation"], "other languages")
    right = outcomes_right(outcomes)
    seen = [features_of(outcome.delegation) for outcome in outcomes]
    chosen, losses = choose_features(seen, right)
    program.knobs.set(fit_confidence(seen, right, names=chosen))
    _fit_language(program, foreign)
    inside = [outcome.delegation for outcome in outcomes]
    _fit_scope(program, inside, outside)
    confidences = _confidences(program, inside)
    promise = choose_threshold(confidences, right.tolist(), target_precision)
    program.knobs.set({"confidence.assign_threshold": promise.threshold})
    return Calibration(
        features=chosen,
        losses=losses,
        promise=promise,
        confidences=tuple(confidences),
        right=tuple(bool(r) for r in right),
        out_of_scope=tuple(
            confidence
            for confidence, in_scope in zip(
                _confidences(program, outside), _in_scope(program, outside), strict=True
            )
            if in_scope >= (program.knobs.values.scope.threshold or 0.0)
        ),
    )


def features_of(delegation: Delegation) -> Features:
    """Return the features behind a delegation's confidence."""
    return delegation.evidence.features


def choose_features(
    seen: Sequence[Features], right: np.ndarray
) -> tuple[tuple[str, ...], dict[str, tuple[float, float]]]:
    """Return the smallest set of features within a standard error of the best log-loss.

    Cross-validated, stratified (the one-standard-error rule of Breiman et al., 1984), and
    the losses by set.
    """
    if min(right.sum(), (~right).sum()) < _FOLDS:
        return FEATURE_SETS[0], {}
    folds = RepeatedStratifiedKFold(n_splits=_FOLDS, n_repeats=_REPEATS, random_state=0)
    per_request: dict[tuple[str, ...], np.ndarray] = {}
    for names in FEATURE_SETS:
        given = _table(seen, names)
        losses = np.zeros(len(right))
        for train, held in folds.split(given, right):
            model = Logistic.fit(given[train], right[train])
            p = np.clip(model.probabilities(given[held]), 1e-9, 1 - 1e-9)
            losses[held] -= np.log(np.where(right[held], p, 1 - p)) / _REPEATS
        per_request[names] = losses
    best = min(per_request, key=lambda names: per_request[names].mean())

    def close(names: tuple[str, ...]) -> bool:
        worse = per_request[names] - per_request[best]
        return bool(worse.mean() <= worse.std() / np.sqrt(len(worse)))

    return next(filter(close, FEATURE_SETS)), {
        " + ".join(names): (float(losses.mean()), float(losses.std() / np.sqrt(len(losses))))
        for names, losses in per_request.items()
    }


def fit_confidence(
    seen: Sequence[Features],
    right: np.ndarray,
    names: Sequence[str] = CorrectWeights.features(),
    *,
    with_lm: bool = False,
) -> dict[str, float]:
    """Return the knobs of P(first place is right) over the named features.

    Args:
        seen: features of labeled requests.
        right: shape (n,), bool; whether the first place was right.
        names: of the features to read; the others get no weight.
        with_lm: whether the knobs are those for tasks about which the LM was asked.
    """
    weights = CorrectWithLMWeights if with_lm else CorrectWeights
    group = "confidence.correct_with_lm" if with_lm else "confidence.correct"
    knobs = {f"{group}.{name}": 0.0 for name in ("bias", *weights.features())}
    if right.all() or not right.any():
        # Nothing to separate: the smoothed rate is all that can be said (Laplace).
        rate = (right.sum() + 1) / (len(right) + 2)
        return knobs | {f"{group}.bias": float(np.log(rate / (1 - rate)))}
    return knobs | Logistic.fit(_table(seen, names), right).knobs(group, names)


def _table(seen: Sequence[Features], names: Sequence[str]) -> np.ndarray:
    return np.array([[getattr(f, name) or 0.0 for name in names] for f in seen], dtype=float)


def _confidences(program: Delegator, delegations: Sequence[Delegation]) -> list[float]:
    knobs = program.knobs.values
    return [correct_probability(features_of(delegation), knobs) for delegation in delegations]


def _in_scope(program: Delegator, delegations: Sequence[Delegation]) -> list[float]:
    knobs = program.knobs.values
    evidence = [delegation.evidence for delegation in delegations]
    return [in_scope_probability(e.signals, e.features, knobs) for e in evidence]


def _in_scope_table(delegations: Sequence[Delegation]) -> np.ndarray:
    evidence = [delegation.evidence for delegation in delegations]
    rows = [in_scope_features(e.signals, e.features) for e in evidence]
    return np.array([[row[name] for name in InScopeWeights.features()] for row in rows])


def _fit_language(program: Delegator, outcomes: Sequence[Outcome]) -> None:
    """Shift the log-odds of unsupported languages to the share of such requests that is right."""
    found = [o for o in outcomes if o.delegation.evidence.features.unsupported_language]
    if not found:
        return
    right = [o.right for o in found]
    model = program.knobs.values.confidence.correct
    odds = np.array([model.log_odds(asdict(features_of(o.delegation))) for o in found])

    def loss(shift: float) -> float:
        p = 1 / (1 + np.exp(-(odds + shift)))
        return float(log_loss(right, p, labels=[False, True]))

    best: Any = minimize_scalar(loss, bounds=(-6.0, 0.0), method="bounded")
    program.knobs.set({"confidence.unsupported_language": float(best.x)})


def _fit_scope(
    program: Delegator, inside: Sequence[Delegation], outside: Sequence[Delegation]
) -> None:
    names = InScopeWeights.features()
    if not outside:
        # Without examples of what is out of scope, nothing is turned away.
        weights = {f"scope.in_scope.{name}": 0.0 for name in ("bias", *names)}
        program.knobs.set(weights | {"scope.threshold": None})
        return
    labels = np.array([True] * len(inside) + [False] * len(outside))
    model = Logistic.fit(_in_scope_table([*inside, *outside]), labels, balanced=True)
    program.knobs.set(model.knobs("scope.in_scope", names))
    threshold = float(np.quantile(_in_scope(program, inside), _TURNED_AWAY))
    program.knobs.set({"scope.threshold": threshold})
