"""Calibrate a program on labelled requests: confidence, P(some agent fits), thresholds."""

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
    FITS,
    SURE,
    SURE_LM,
    OperatingPoint,
    choose_threshold,
    log_odds,
    probabilities,
    table,
)
from task_delegator.delegation import Delegation, Features
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError

TARGET_PRECISION = 0.95
_TURNED_AWAY = 0.03  # of the requests in scope may fall below the "none" threshold
LEAST_REQUESTS = 30  # fewer cannot carry a logistic model of three numbers
_FOLDS, _REPEATS = 5, 4
# Sets of features to choose from, the smallest first.
FEATURE_SETS: tuple[tuple[str, ...], ...] = (
    ("margin",),
    ("logit",),
    ("logit", "margin"),
    ("logit", "margin", "agree"),
    ("logit", "margin", "agree", "near"),
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
        strangers: confidence of the validation requests that are out of scope and not
            turned away.
    """

    features: tuple[str, ...]
    losses: dict[str, tuple[float, float]]
    promise: OperatingPoint
    confidences: tuple[float, ...]
    right: tuple[bool, ...]
    strangers: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON values, numbers short."""
        return asdict(self) | {
            "confidences": [round(c, 6) for c in self.confidences],
            "strangers": [round(c, 6) for c in self.strangers],
        }


def calibrate(
    program: Delegator, dataset: Dataset, target_precision: float = TARGET_PRECISION
) -> Calibration:
    """Fit the confidence of retrieval on the validation split; the LM is not asked.

    Sets ``sure_*``, ``fits_*`` and the thresholds ``assign`` and ``fits``, and closes the
    gate: what an LM's word was worth elsewhere says nothing of this registry.

    Raises:
        InputError: the validation split is too small.
    """
    requests = dataset.splits["validation"]
    if len(requests) < LEAST_REQUESTS:
        raise InputError(
            f"{dataset.path}: {len(requests)} validation requests; "
            f"calibration needs at least {LEAST_REQUESTS}"
        )
    program.knobs.set(lm=0.0, gate=0.0, rubric_low=0.0, rubric_high=0.0, sure_foreign=0.0)
    with dspy.context(lm=None):
        outcomes = delegate_all(program, requests, "calibrate")
        strangers = [program(text) for text in dataset.out_of_scope["validation"]]
        foreign = delegate_all(program, dataset.foreign["validation"], "foreign languages")
    right = outcomes_right(outcomes)
    seen = [features_of(outcome.delegation) for outcome in outcomes]
    chosen, losses = choose_features(seen, right)
    program.knobs.set(**fit_sureness(seen, right, names=chosen))
    _fit_foreign(program, foreign)
    inside = [outcome.delegation for outcome in outcomes]
    _fit_fits(program, inside, strangers)
    confidences = _confidences(program, inside)
    promise = choose_threshold(confidences, right.tolist(), target_precision)
    program.knobs.set(assign=promise.threshold)
    return Calibration(
        features=chosen,
        losses=losses,
        promise=promise,
        confidences=tuple(confidences),
        right=tuple(bool(r) for r in right),
        strangers=tuple(
            confidence
            for confidence, fits in zip(
                _confidences(program, strangers), _fits(program, strangers), strict=True
            )
            if fits >= program.knobs.values.fits
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


def fit_sureness(
    seen: Sequence[Features],
    right: np.ndarray,
    prefix: str = "sure",
    names: Sequence[str] = SURE,
) -> dict[str, float]:
    """Return the knobs ``<prefix>_*`` of P(first place is right) over the named features."""
    every = SURE if prefix == "sure" else SURE_LM
    knobs = {f"{prefix}_{name}": 0.0 for name in ("bias", *every)}
    if right.all() or not right.any():
        # Nothing to separate: the smoothed rate is all that can be said (Laplace).
        rate = (right.sum() + 1) / (len(right) + 2)
        return knobs | {f"{prefix}_bias": float(np.log(rate / (1 - rate)))}
    return knobs | Logistic.fit(_table(seen, names), right).knobs(prefix, names)


def _table(seen: Sequence[Features], names: Sequence[str]) -> np.ndarray:
    return np.array([[getattr(f, name) or 0.0 for name in names] for f in seen], dtype=float)


def _confidences(program: Delegator, delegations: Sequence[Delegation]) -> list[float]:
    rows = [asdict(features_of(delegation)) for delegation in delegations]
    return probabilities(table(rows, "sure"), program.knobs.values).tolist()


def _fits_table(delegations: Sequence[Delegation]) -> np.ndarray:
    evidence = [delegation.evidence for delegation in delegations]
    return table([asdict(e.signals) | {"logit": e.features.logit} for e in evidence], "fits")


def _fits(program: Delegator, delegations: Sequence[Delegation]) -> list[float]:
    return probabilities(_fits_table(delegations), program.knobs.values, "fits").tolist()


def _fit_foreign(program: Delegator, outcomes: Sequence[Outcome]) -> None:
    """Shift the log-odds of foreign requests to the share of them that is right."""
    told = [o for o in outcomes if o.delegation.evidence.features.foreign]
    if not told:
        return
    right = [o.right for o in told]
    odds = np.array(
        [
            log_odds("sure", SURE, asdict(features_of(o.delegation)), program.knobs.values)
            for o in told
        ]
    )

    def loss(shift: float) -> float:
        p = 1 / (1 + np.exp(-(odds + shift)))
        return float(log_loss(right, p, labels=[False, True]))

    best: Any = minimize_scalar(loss, bounds=(-6.0, 0.0), method="bounded")
    program.knobs.set(sure_foreign=float(best.x))


def _fit_fits(
    program: Delegator, inside: Sequence[Delegation], strangers: Sequence[Delegation]
) -> None:
    if not strangers:
        # Without examples of what is out of scope, nothing is turned away.
        program.knobs.set(fits=0.0, **{f"fits_{name}": 0.0 for name in ("bias", *FITS)})
        return
    in_scope = np.array([True] * len(inside) + [False] * len(strangers))
    model = Logistic.fit(_fits_table([*inside, *strangers]), in_scope, balanced=True)
    program.knobs.set(**model.knobs("fits", FITS))
    program.knobs.set(fits=float(np.quantile(_fits(program, inside), _TURNED_AWAY)))
