"""Calibrate a program on labelled requests: confidence, P(some agent fits), thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

import dspy
import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression

from optimize.data import Dataset
from optimize.evaluate import delegate_all, outcomes_right
from task_delegator.confidence import Sureness
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError

TARGET_PRECISION = 0.95
_TURNED_AWAY = 0.03  # of the requests in scope may fall below the "none" threshold
_LEAST_REQUESTS = 30  # fewer cannot carry a logistic model of three numbers
_C = 10.0  # weak ridge: Platt's model on a few hundred points
_NEVER = 1.01  # a threshold that no probability reaches


@dataclass(frozen=True, slots=True)
class Promise:
    """What the assign threshold does on the requests it was chosen on.

    Attributes:
        threshold: least confidence to assign.
        n, right: requests that would be assigned, and how many rightly.
        coverage: share of all requests that would be assigned.
        lower_bound: one-sided 95 % Clopper-Pearson bound of the precision.
    """

    threshold: float
    n: int
    right: int
    coverage: float
    lower_bound: float


def calibrate(
    program: Delegator, dataset: Dataset, target_precision: float = TARGET_PRECISION
) -> Promise:
    """Fit the confidence of retrieval on the validation split; the LM is not asked.

    Sets ``sure_*``, ``fits_*`` and the thresholds ``assign`` and ``fits``, and closes the
    gate: what an LM's word was worth elsewhere says nothing of this registry.

    Raises:
        InputError: the validation split is too small.
    """
    requests = dataset.splits["validation"]
    if len(requests) < _LEAST_REQUESTS:
        raise InputError(
            f"{dataset.path}: {len(requests)} validation requests; "
            f"calibration needs at least {_LEAST_REQUESTS}"
        )
    program.knobs.set(lm=0.0, gate=0.0)
    with dspy.context(lm=None):
        outcomes = delegate_all(program, requests, "calibrate")
        features = [Sureness(**o.delegation.evidence["sureness"]) for o in outcomes]
        program.knobs.set(**fit_sureness(features, outcomes_right(outcomes)))
        strangers = [program(text) for text in dataset.out_of_scope["validation"]]
    inside = [outcome.delegation for outcome in outcomes]
    _fit_fits(program, inside, strangers)
    with dspy.context(lm=None):
        outcomes = delegate_all(program, requests, "calibrate")
    promise = choose_threshold(
        np.array([o.delegation.confidence for o in outcomes]),
        outcomes_right(outcomes),
        target_precision,
    )
    program.knobs.set(assign=promise.threshold)
    return promise


def fit_sureness(
    features: Sequence[Sureness], right: np.ndarray, prefix: str = "sure"
) -> dict[str, float]:
    """Return the knobs ``<prefix>_*`` of P(first place is right)."""
    if right.all() or not right.any():
        # Nothing to separate: the smoothed rate is all that can be said (Laplace).
        rate = (right.sum() + 1) / (len(right) + 2)
        bias, logit, margin = float(np.log(rate / (1 - rate))), 0.0, 0.0
    else:
        table = np.array([(f.logit, f.margin) for f in features])
        model = LogisticRegression(C=_C).fit(table, right)
        bias = float(model.intercept_[0])
        logit, margin = (float(weight) for weight in model.coef_[0])
    numbers = {"bias": bias, "logit": logit, "margin": margin}
    return {f"{prefix}_{name}": value for name, value in numbers.items()}


def choose_threshold(confidences: np.ndarray, right: np.ndarray, target: float) -> Promise:
    """Return the least threshold whose precision reaches the target, as a point estimate."""
    order = np.argsort(-confidences, kind="stable")
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # A threshold lies between two different confidences.
    steps = np.append(np.diff(confidences[order]) < 0, True)
    reached = np.flatnonzero((precision >= target) & steps)
    if len(reached) == 0:
        return Promise(threshold=_NEVER, n=0, right=0, coverage=0.0, lower_bound=0.0)
    n = int(reached[-1]) + 1
    good = int(right[order][:n].sum())
    return Promise(
        threshold=float(confidences[order][n - 1]),
        n=n,
        right=good,
        coverage=n / len(order),
        lower_bound=float(stats.beta.ppf(0.05, good, n - good + 1)) if good else 0.0,
    )


def _fit_fits(
    program: Delegator, inside: Sequence[Delegation], strangers: Sequence[Delegation]
) -> None:
    if not strangers:
        # Without examples of what is out of scope, nothing is turned away.
        program.knobs.set(
            fits=0.0, fits_bias=0.0, fits_description=0.0, fits_sample=0.0, fits_head=0.0
        )
        return
    delegations = (*inside, *strangers)
    features = np.array([list(d.evidence["signals"].values()) for d in delegations])
    spread = np.where(features.std(axis=0) > 0, features.std(axis=0), 1.0)
    in_scope = np.array([True] * len(inside) + [False] * len(strangers))
    model = LogisticRegression(C=_C, class_weight="balanced").fit(features / spread, in_scope)
    description, sample, head = (float(w) for w in model.coef_[0] / spread)
    probabilities = model.predict_proba(features / spread)[: len(inside), 1]
    program.knobs.set(
        fits_bias=float(model.intercept_[0]),
        fits_description=description,
        fits_sample=sample,
        fits_head=head,
        fits=float(np.quantile(probabilities, _TURNED_AWAY)),
    )
