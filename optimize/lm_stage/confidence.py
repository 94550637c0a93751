"""Confidence and P(some agent fits) after the LM was asked.

Thresholds are chosen on probabilities of requests that a fold's model has not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit
from sklearn.model_selection import StratifiedKFold

from optimize.calibration import (
    LOOSENESS,
    Logistic,
    choose_features,
    fit_confidence,
    held_out_probabilities,
)
from optimize.evaluation import Outcome, auroc
from optimize.lm_stage.weight import belief_of, pooled, said_by_lm
from task_delegator.decision import (
    assemble,
    correct_probability,
    in_scope_features,
    in_scope_probability,
)
from task_delegator.delegation import Features
from task_delegator.delegator import Delegator
from task_delegator.knobs import InScopeWeights, KnobValues, ScopeKnobs

_FOLDS = 5
_FEWEST = 5  # requests of either kind; with fewer no model of two numbers is fitted
_OF_POSTERIOR = ("logit", "margin")  # features of P(some agent fits) that are no signals
# Of the ridge on P(some agent fits): a good LM all but separates what fits, a poor one does not.
_LOOSENESS = (1.0, 3.0, 10.0, 30.0)
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


@dataclass(frozen=True, slots=True)
class ScopeWithLM:
    """P(some agent fits) where the LM was asked.

    Attributes:
        knobs: by dotted name.
        auroc: of the requests asked about, by models that have not seen them; None where there
            were too few of either kind, and no knob is set.
        inside, outside: whether each request in scope and out of scope is accepted.
    """

    knobs: dict[str, Any]
    auroc: float | None
    inside: np.ndarray
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
    return ConfidenceWithLM(knobs, names, _held_out(table, right, seed), right, np.array(others))


def fit_scope_with_lm(
    program: Delegator,
    inside: Sequence[Outcome],
    outside: Sequence[Outcome],
    weight: float,
    orders: int,
    seed: int,
) -> ScopeWithLM:
    """Fit P(some agent fits) with the LM's "none", and the threshold that tells best apart.

    Two weights are fitted (stacking: Wolpert, 1992): of what retrieval's signals say, as they count
    where no LM is asked, and of "none". How freely is chosen by the log-loss of requests that the
    model has not seen. Both probabilities are over the same traffic, so that tasks with an LM and
    without can be compared.

    The threshold has the greatest sum of the shares in scope that are kept and out of scope that
    are turned away (Youden, 1950), in the middle between the requests that it separates. With
    too few requests of either kind no knob is set: calibration gave those of retrieval alone.

    Args:
        program: whose other knobs are taken.
        inside, outside: requests in scope and out of scope with the LM's answers.
        weight: of the LM in the pool.
        orders: of its answers that count.
    """
    if len(outside) < _FEWEST or len(inside) < _FEWEST:
        fitted = program.knobs.values
        scores = np.array([_in_scope(o, weight, orders, fitted) for o in (*inside, *outside)])
        return _accepting({}, None, scores, fitted.scope.threshold_with_lm, len(inside))
    alone, prior = _of_retrieval(program.knobs.values.scope)
    rows = [_scope_features(outcome, weight, orders) for outcome in (*inside, *outside)]
    table = np.array([[alone.log_odds(row), row["none_logit"] or 0.0] for row in rows])
    labels = np.repeat([True, False], [len(inside), len(outside)])
    loosely = {c: _held_out(table, labels, seed, balanced=True, looseness=c) for c in _LOOSENESS}
    best = min(loosely, key=lambda c: _balanced_loss(loosely[c], labels))
    model = Logistic.fit(table, labels, balanced=True, looseness=best)
    held_out = expit(logit(loosely[best]) + prior)
    threshold = best_separation(held_out, labels)
    knobs = _scope_knobs(alone, model, prior) | {"scope.threshold_with_lm": threshold}
    return _accepting(knobs, auroc(held_out, labels), held_out, threshold, len(inside))


def _of_retrieval(scope: ScopeKnobs) -> tuple[InScopeWeights, float]:
    """Return what retrieval's signals count for P(some agent fits), and the log-odds of its prior.

    The posterior is left out: with an LM it is another one. The prior is even where P(some agent
    fits) was fitted to no share.
    """
    of_signals = scope.in_scope.model_copy(update=dict.fromkeys(_OF_POSTERIOR, 0.0))
    share = scope.share or 0.0
    return of_signals, float(logit(1 - share)) if 0 < share < 1 else 0.0


def _scope_knobs(alone: InScopeWeights, model: Logistic, prior: float) -> dict[str, float]:
    """Return the knobs of a model of two numbers: retrieval's log-odds, and the LM's "none"."""
    heard, none = model.weights
    knobs = {name: heard * getattr(alone, name) for name in ("bias", *InScopeWeights.features())}
    knobs["bias"] += model.bias + prior
    return {f"scope.in_scope_with_lm.{n}": w for n, w in (knobs | {"none_logit": none}).items()}


def _accepting(
    knobs: dict[str, Any],
    separation: float | None,
    scores: np.ndarray,
    threshold: float | None,
    n_in: int,
) -> ScopeWithLM:
    """Return the scope with whom it accepts; the first scores are those in scope."""
    accepted = scores >= (threshold or 0.0)
    return ScopeWithLM(knobs, separation, accepted[:n_in], accepted[n_in:])


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


def _in_scope(outcome: Outcome, weight: float, orders: int, knobs: KnobValues) -> float:
    features = features_with_lm(outcome, weight, orders)
    signals = outcome.delegation.evidence.signals
    return in_scope_probability(signals, features, knobs, with_lm=True)


def _balanced_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the log-loss, to which either label contributes as much."""
    given = np.clip(np.where(labels, probabilities, 1 - probabilities), 1e-9, 1.0)
    return -float(np.log(given[labels]).mean() + np.log(given[~labels]).mean()) / 2


def _held_out(
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
