"""P(some agent fits) after the LM was asked.

Thresholds are chosen on probabilities of requests that a fold's model has not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from optimize.calibration import Logistic, SignalsScope
from optimize.evaluation import Outcome, auroc
from optimize.lm_stage.confidence import features_with_lm, held_out
from task_delegator.decision import in_scope_probability
from task_delegator.delegator import Delegator
from task_delegator.knobs import InScopeWeights, KnobValues

_FEWEST = 5  # requests of either kind; with fewer no model of two numbers is fitted
# Of the ridge: a good LM all but separates what fits, a poor one does not.
_LOOSENESS = (1.0, 3.0, 10.0, 30.0)


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


def fit_scope_with_lm(
    program: Delegator,
    inside: Sequence[Outcome],
    outside: Sequence[Outcome],
    alone: SignalsScope,
    weight: float,
    orders: int,
    seed: int,
) -> ScopeWithLM:
    """Fit P(some agent fits) with the LM's "none", and the threshold that tells best apart.

    Two weights are fitted (stacking: Wolpert, 1992): of what retrieval's signals say of a request
    by a model that has not seen its agent, and of "none". How freely is chosen by the log-loss of
    requests that the model has not seen. As many requests are taken for granted that nobody serves
    as where no LM is asked, so that tasks with an LM and without can be compared.

    The threshold has the greatest sum of the shares in scope that are kept and out of scope that
    are turned away (Youden, 1950), in the middle between the requests that it separates. With
    too few requests of either kind no knob is set: calibration gave those of retrieval alone.

    Args:
        program: whose other knobs are taken.
        inside, outside: requests in scope and out of scope with the LM's answers, some of those
            that ``alone`` was fitted to.
        alone: what retrieval's signals say.
        weight: of the LM in the pool.
        orders: of its answers that count.
    """
    every = (*inside, *outside)
    if len(outside) < _FEWEST or len(inside) < _FEWEST:
        fitted = program.knobs.values
        scores = np.array([_in_scope(outcome, weight, orders, fitted) for outcome in every])
        return _accepting({}, None, scores, fitted.scope.threshold_with_lm, len(inside))
    nones = [features_with_lm(outcome, weight, orders).none_logit or 0.0 for outcome in every]
    table = np.array([[alone.log_odds(o.request.text) for o in every], nones]).T
    labels = np.repeat([True, False], [len(inside), len(outside)])
    loosely = {c: held_out(table, labels, seed, balanced=True, looseness=c) for c in _LOOSENESS}
    best = min(loosely, key=lambda c: _balanced_loss(loosely[c], labels))
    model = Logistic.fit(table, labels, balanced=True, looseness=best)
    # The odds of those that were asked about are even in the fit, and others where they are served.
    prior = alone.prior + float(np.log(len(inside) / alone.inside / (len(outside) / alone.outside)))
    unseen = expit(logit(loosely[best]) + prior)
    threshold = best_separation(unseen, labels)
    knobs = _scope_knobs(alone.weights, model, prior) | {"scope.threshold_with_lm": threshold}
    return _accepting(knobs, auroc(unseen, labels), unseen, threshold, len(inside))


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


def _in_scope(outcome: Outcome, weight: float, orders: int, knobs: KnobValues) -> float:
    features = features_with_lm(outcome, weight, orders)
    signals = outcome.delegation.evidence.signals
    return in_scope_probability(signals, features, knobs, with_lm=True)


def _balanced_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the log-loss, to which either label contributes as much."""
    given = np.clip(np.where(labels, probabilities, 1 - probabilities), 1e-9, 1.0)
    return -float(np.log(given[labels]).mean() + np.log(given[~labels]).mean()) / 2
