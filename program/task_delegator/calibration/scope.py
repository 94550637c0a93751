"""Fit P(some agent fits): labeled requests against those that nobody serves.

Of the latter there are two sources. *Near* ones cost nothing: a labeled request becomes one where
its right agents are taken out of the index. *Far* ones are examples of what is out of scope, where
somebody wrote them. Twenty of these count as much as all near ones, fewer by their number: one
example says little of what comes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..decision import in_scope_features
from ..delegation import Features
from ..knobs import InScopeWeights
from .logistic import fit_logistic
from .observe import Observed

SHARE = 0.1  # of all requests, those that nobody can serve, as the probabilities take it
# Of that share, where there is one source alone: near ones are the hardest, and few of what comes.
_ALONE = 0.25
_ENOUGH = 20  # far ones that count in full
_NEAR = 0.06  # share of a source that reaches the floor of an assignment, rounded up to a request
_REJECTED_IN_SCOPE = 0.03  # share of in-scope requests below the "none" threshold
_THRESHOLDS = tuple(
    f"scope.{name}" for name in ("share", "threshold", "even_odds_floor", "assign_floor")
)
_UNLIKELY = 0.5  # "none" is said only where that is likelier than not
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class ScopeFit:
    """P(some agent fits) and its thresholds, as knobs.

    Attributes:
        knobs: by dotted name.
        held_out: the probability of every row by a model that has not seen its agent: in scope,
            near and far, in this order; empty where nothing could be fitted.
    """

    knobs: dict[str, Any]
    held_out: np.ndarray


def fit_scope(
    inside: Sequence[Observed],
    near: Sequence[Observed],
    far: Sequence[Observed],
    correct: Callable[[Features], float],
    share: float = SHARE,
    names: Sequence[str] = InScopeWeights.features(),
) -> ScopeFit:
    """Fit P(some agent fits), the threshold of "none" and the least confidence to assign.

    Thresholds are chosen on probabilities of rows whose agent the model has not seen.

    Args:
        inside: labeled requests.
        near: the same without their right agents.
        far: examples of what is out of scope.
        correct: P(the first place is right, if any agent fits).
        share: of the requests that nobody can serve, among all, where both sources are there;
            where one is, a quarter of it; between the two where far ones are few.
        names: of the features that are read.
    """
    from scipy.special import expit

    group = "scope.in_scope"
    sources = [rows for rows in (near, far) if rows]
    if not sources or not inside:
        # Without an example of what nobody serves, no request is rejected.
        none = {f"{group}.{name}": 0.0 for name in ("bias", *names)}
        return ScopeFit(none | dict.fromkeys(_THRESHOLDS), np.zeros(0))
    rows = [*inside, *near, *far]
    table = np.array([_row(row, names) for row in rows], dtype=float)
    labels = np.arange(len(rows)) < len(inside)
    known = min(len(far) / _ENOUGH, 1.0) if near else 0.0
    counts = _row_weights(len(inside), sources, [1.0, known] if known else [1.0])
    share *= _ALONE + (1 - _ALONE) * known
    shift = float(np.log((1 - share) / share))
    bias, weights = fit_logistic(table, labels, counts)
    odds = held_out_odds(table, labels, counts, folds_by_agent([row.agent for row in rows]))
    unseen = expit(odds + shift)
    even = expit(odds) * np.array([correct(row.features) for row in rows])
    hardest, *others = (
        float(np.quantile(even[start : start + len(source)], 1 - _NEAR, method="higher"))
        for start, source in zip(_starts(inside, sources), sources, strict=True)
    )
    higher = max((limit - hardest for limit in others), default=0.0)
    floor = hardest + known * max(higher, 0.0)
    rejected = float(np.quantile(unseen[labels], _REJECTED_IN_SCOPE))
    knobs: dict[str, Any] = {f"{group}.{n}": float(w) for n, w in zip(names, weights, strict=True)}
    knobs |= {
        f"{group}.bias": bias + shift,
        "scope.share": share,
        "scope.threshold": min(rejected, _UNLIKELY),
        "scope.even_odds_floor": floor,
        "scope.assign_floor": None,
    }
    return ScopeFit(knobs, unseen)


def _row_weights(
    inside: int, sources: Sequence[Sequence[Observed]], counting: Sequence[float]
) -> np.ndarray:
    """Return what each row counts: those in scope 1, the others as much in all.

    Args:
        inside: rows in scope.
        sources: the others, which follow them.
        counting: how much each source counts beside the others.
    """
    parts = np.array(counting) / sum(counting)
    own = [np.full(len(s), inside * p / len(s)) for s, p in zip(sources, parts, strict=True)]
    return np.concatenate([np.ones(inside), *own])


def _row(observed: Observed, names: Sequence[str]) -> list[float]:
    seen = in_scope_features(observed.signals, observed.features)
    return [seen[name] or 0.0 for name in names]


def _starts(inside: Sequence[Observed], sources: Sequence[Sequence[Observed]]) -> list[int]:
    return [len(inside) + sum(map(len, sources[:i])) for i in range(len(sources))]


def folds_by_agent(agents: Sequence[str]) -> np.ndarray:
    """Return the fold of each row, shape (n,): one for all of an agent; others by turns."""
    order = np.random.default_rng(0).permutation(len(set(agents) - {""}))
    known = dict(zip(sorted(set(agents) - {""}), order.tolist(), strict=True))
    return np.array([known.get(agent, i) % _FOLDS for i, agent in enumerate(agents)])


def held_out_odds(
    table: np.ndarray,
    labels: np.ndarray,
    row_weights: np.ndarray,
    folds: np.ndarray,
    fit: Callable[..., tuple[float, np.ndarray]] = fit_logistic,
) -> np.ndarray:
    """Return the log-odds of a true label for each row, by the model of the other folds.

    Args:
        table: shape (n, features).
        labels: shape (n,), bool; both values occur.
        row_weights: what each row counts, shape (n,).
        folds: number of each row's fold, shape (n,).
        fit: takes the first three, and returns bias and weights.

    Returns:
        Shape (n,).
    """
    found = np.full(len(labels), np.nan)
    for fold in range(_FOLDS):
        rest, own = folds != fold, folds == fold
        if len(set(labels[rest].tolist())) < 2:
            rest = np.ones(len(labels), dtype=bool)
        bias, weights = fit(table[rest], labels[rest], row_weights[rest])
        found[own] = bias + table[own] @ weights
    return found
