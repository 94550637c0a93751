"""Confidence and P(some agent fits) after the LM was asked: fits and thresholds.

Thresholds are chosen on probabilities of requests that a fold's model has not seen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from optimize.calibration import (
    Logistic,
    choose_features,
    fit_confidence,
    held_out_probabilities,
)
from optimize.evaluation import Outcome, auroc
from optimize.lm_stage.weight import belief_of, pooled, said_by_lm
from task_delegator.decision import OperatingPoint, assemble, choose_threshold, in_scope_features
from task_delegator.delegation import Features
from task_delegator.delegator import Delegator
from task_delegator.knobs import InScopeWithLMWeights

_FOLDS = 5
_FEWEST = 5  # requests of either kind; with fewer no model of two numbers is fitted
# Sets of features to choose from, the smallest first.
_FEATURE_SETS: tuple[tuple[str, ...], ...] = (
    ("margin",),
    ("slot_margin",),
    ("margin", "slot_margin"),
    ("logit", "margin", "slot_margin"),
)


@dataclass(frozen=True, slots=True)
class ConfidenceWithLM:
    """Confidence in the first place where the LM was asked.

    Attributes:
        knobs: by dotted name.
        features: that it reads.
        promise: what the threshold to assign does on the requests that were asked about.
        confidences, right: of those requests, by models that have not seen them.
    """

    knobs: dict[str, Any]
    features: tuple[str, ...]
    promise: OperatingPoint
    confidences: tuple[float, ...]
    right: tuple[bool, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest keeps, as plain JSON values."""
        return {
            "features": self.features,
            "promise": asdict(self.promise),
            "confidences": [round(c, 6) for c in self.confidences],
            "right": list(self.right),
        }


@dataclass(frozen=True, slots=True)
class ScopeWithLM:
    """P(some agent fits) where the LM was asked.

    Attributes:
        knobs: by dotted name.
        auroc: of the requests asked about, by models that have not seen them; None where there
            were too few out of scope, and the knobs are those of retrieval alone.
    """

    knobs: dict[str, Any]
    auroc: float | None = None


def fit_confidence_with_lm(
    outcomes: Sequence[Outcome], weight: float, orders: int, target: float, seed: int
) -> ConfidenceWithLM:
    """Fit the confidence after the LM was asked, and the threshold to assign.

    Args:
        outcomes: requests in scope with the LM's answers.
        weight: of the LM in the pool.
        orders: of its answers that count.
        target: precision of assigned tasks.
    """
    features = [features_with_lm(outcome, weight, orders) for outcome in outcomes]
    right = np.array([pooled(o, weight, orders)[0].name in o.request.acceptable for o in outcomes])
    names, _ = choose_features(features, right, _FEATURE_SETS)
    knobs: dict[str, Any] = fit_confidence(features, right, names, with_lm=True)
    table = np.array([[getattr(f, name) or 0.0 for name in names] for f in features])
    held_out = _held_out(table, right, seed)
    promise = choose_threshold(held_out, right, target)
    knobs["confidence.assign_threshold_with_lm"] = promise.threshold
    # The threshold is chosen on P(the first place is right, if any agent fits) alone.
    knobs |= {"scope.share_with_lm": None, "scope.assign_floor_with_lm": None}
    return ConfidenceWithLM(
        knobs, names, promise, tuple(held_out.tolist()), tuple(bool(r) for r in right)
    )


def fit_scope_with_lm(
    program: Delegator,
    inside: Sequence[Outcome],
    outside: Sequence[Outcome],
    weight: float,
    orders: int,
    seed: int,
) -> ScopeWithLM:
    """Fit P(some agent fits) with the LM's "none", and the threshold that tells best apart.

    The threshold has the greatest sum of the shares in scope that are kept and out of scope that
    are turned away (Youden, 1950), in the middle between the requests that it separates.

    Args:
        program: whose knobs for retrieval alone are taken where there are too few requests out
            of scope.
        inside, outside: requests in scope and out of scope with the LM's answers.
        weight: of the LM in the pool.
        orders: of its answers that count.
    """
    names = InScopeWithLMWeights.features()
    if len(outside) < _FEWEST or len(inside) < _FEWEST:
        scope = program.knobs.values.scope
        alone = {f"scope.in_scope_with_lm.{n}": v for n, v in scope.in_scope.model_dump().items()}
        return ScopeWithLM(alone | {"scope.threshold_with_lm": scope.threshold})
    rows = [_scope_features(outcome, weight, orders) for outcome in (*inside, *outside)]
    table = np.array([[row[name] or 0.0 for name in names] for row in rows])
    labels = np.repeat([True, False], [len(inside), len(outside)])
    model = Logistic.fit(table, labels, balanced=True)
    held_out = _held_out(table, labels, seed, balanced=True)
    knobs: dict[str, Any] = model.knobs("scope.in_scope_with_lm", names)
    knobs["scope.threshold_with_lm"] = best_separation(held_out, labels)
    return ScopeWithLM(knobs, auroc(held_out, labels))


def best_separation(scores: np.ndarray, inside: np.ndarray) -> float:
    """Return the threshold with the greatest sum of both shares that are told right.

    Args:
        scores: shape (n,), 0..1; larger is more in scope.
        inside: shape (n,), bool; both values occur.
    """
    values = np.unique(scores)
    between = np.maximum((values[1:] + values[:-1]) / 2, np.nextafter(values[:-1], 1))
    edges = np.concatenate([[0.0], between, [1.0]])
    kept = np.array([(scores[inside] >= edge).mean() for edge in edges])
    turned_away = np.array([(scores[~inside] < edge).mean() for edge in edges])
    best = np.flatnonzero(kept + turned_away == (kept + turned_away).max())
    return float(edges[best[len(best) // 2]])


def features_with_lm(outcome: Outcome, weight: float, orders: int = 2) -> Features:
    """Return the features of a request's first place after its answers got a weight."""
    evidence, said = outcome.delegation.evidence, said_by_lm(outcome)
    answers = said.answers[:orders]
    return assemble(
        pooled(outcome, weight, orders),
        evidence.signals,
        unsupported_language=bool(evidence.features.unsupported_language),
        belief=belief_of(outcome, orders),
        none=sum(answer.none for answer in answers) / len(answers),
        orders=[answer.picked for answer in answers],
    )


def _scope_features(outcome: Outcome, weight: float, orders: int) -> dict[str, float | None]:
    features = features_with_lm(outcome, weight, orders)
    return in_scope_features(outcome.delegation.evidence.signals, features)


def _held_out(
    table: np.ndarray, labels: np.ndarray, seed: int, *, balanced: bool = False
) -> np.ndarray:
    """Return probabilities by models that have not seen the row; the smoothed rate for few."""
    fewest = int(min(labels.sum(), (~labels).sum()))
    if fewest < 2:
        return np.full(len(labels), (labels.sum() + 1) / (len(labels) + 2))
    folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    return held_out_probabilities(table, labels, folds.split(table, labels), balanced)
