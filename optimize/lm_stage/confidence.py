"""Confidence in the first place after the LM was asked.

Thresholds are chosen on probabilities of requests that a fold's model has not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from optimize.calibration import LOOSENESS, choose_features, fit_confidence, held_out_probabilities
from optimize.evaluation import Outcome
from optimize.lm_stage.weight import belief_of, pooled, said_by_lm
from task_delegator.decision import LMAnswers, assemble, correct_probability
from task_delegator.delegation import Features
from task_delegator.delegator import Delegator

_FOLDS = 5
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
        inside: confidences of the requests in scope, by models that have not seen them.
        right: whether their first place is right.
        outside: confidences of the requests out of scope.
    """

    knobs: dict[str, Any]
    features: tuple[str, ...]
    inside: np.ndarray
    right: np.ndarray
    outside: np.ndarray


def fit_confidence_with_lm(
    program: Delegator,
    inside: Sequence[Outcome],
    outside: Sequence[Outcome],
    weight: float,
    orders: int,
    seed: int,
) -> ConfidenceWithLM:
    """Fit the confidence after the LM was asked, on requests in scope.

    Args:
        program: whose other knobs are taken.
        inside, outside: requests in scope and out of scope with the LM's answers.
        weight: of the LM in the pool.
        orders: of its answers that count.
    """
    features = [features_with_lm(outcome, weight, orders) for outcome in inside]
    right = np.array([pooled(o, weight, orders)[0].name in o.request.acceptable for o in inside])
    names, _ = choose_features(features, right, _FEATURE_SETS)
    knobs: dict[str, Any] = fit_confidence(features, right, names, with_lm=True)
    table = np.array([[getattr(f, name) or 0.0 for name in names] for f in features])
    fitted = program.knobs.values.replaced(knobs)
    others = [
        correct_probability(features_with_lm(outcome, weight, orders), fitted, with_lm=True)
        for outcome in outside
    ]
    return ConfidenceWithLM(knobs, names, held_out(table, right, seed), right, np.array(others))


def features_with_lm(outcome: Outcome, weight: float, orders: int = 2) -> Features:
    """Return the features of a request's first place after its answers got a weight."""
    evidence, said = outcome.delegation.evidence, said_by_lm(outcome)
    answers = said.answers[:orders]
    return assemble(
        pooled(outcome, weight, orders),
        evidence.signals,
        LMAnswers(
            belief=belief_of(outcome, orders),
            none=sum(answer.none for answer in answers) / len(answers),
            picks=tuple(answer.picked for answer in answers),
        ),
        unsupported_language=bool(evidence.features.unsupported_language),
    )


def held_out(
    table: np.ndarray,
    labels: np.ndarray,
    seed: int,
    *,
    balanced: bool = False,
    looseness: float = LOOSENESS,
) -> np.ndarray:
    """Return probabilities by models that have not seen the row; the smoothed rate for few."""
    fewest = int(min(labels.sum(), (~labels).sum()))
    if fewest < 2:
        return np.full(len(labels), (labels.sum() + 1) / (len(labels) + 2))
    folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    folded = folds.split(table, labels)
    return held_out_probabilities(table, labels, folded, balanced, looseness)
