"""Logistic regression on raw features: a bias and one weight per feature, as knobs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from task_delegator.calibration import spreads

LOOSENESS = 1.0  # how loose the ridge is on features that were divided by their spread (its C)


@dataclass(frozen=True, slots=True)
class Logistic:
    """A fitted logistic model.

    Attributes:
        bias: log-odds where every feature is 0.
        weights: of the features, in the order of the table's columns.
    """

    bias: float
    weights: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        table: np.ndarray,
        labels: np.ndarray,
        balanced: bool = False,
        looseness: float = LOOSENESS,
    ) -> "Logistic":
        """Fit a model with a ridge that does not depend on the features' units.

        Args:
            table: shape (n, features).
            labels: shape (n,), bool; both values occur.
            balanced: give both labels the same weight in all.
            looseness: of the ridge, above 0.
        """
        spread = spreads(table)
        model = _estimator(balanced, looseness).fit(table / spread, labels)
        weights = tuple(float(weight) for weight in model.coef_[0] / spread)
        return cls(float(model.intercept_[0]), weights)

    def probabilities(self, table: np.ndarray) -> np.ndarray:
        """Return the probability of a true label for each row, shape (n,)."""
        return expit(self.bias + table @ np.array(self.weights))

    def knobs(self, group: str, names: Sequence[str]) -> dict[str, float]:
        """Return the knobs ``<group>.bias`` and ``<group>.<name>`` of the named features."""
        weights = zip(names, self.weights, strict=True)
        return {f"{group}.bias": self.bias} | {f"{group}.{name}": w for name, w in weights}


def held_out_probabilities(
    table: np.ndarray,
    labels: np.ndarray,
    folds: Iterator[tuple[np.ndarray, np.ndarray]],
    balanced: bool = False,
    looseness: float = LOOSENESS,
) -> np.ndarray:
    """Return the probability of a true label for each row, by a model that has not seen it.

    Args:
        table: shape (n, features).
        labels: shape (n,), bool.
        folds: places to fit on and to predict, which together are every place once.
        balanced, looseness: as in ``Logistic.fit``.

    Returns:
        Shape (n,).
    """
    scaled = table / spreads(table)
    found = cross_val_predict(
        _estimator(balanced, looseness), scaled, labels, cv=folds, method="predict_proba"
    )
    return np.asarray(found)[:, 1]


def _estimator(balanced: bool, looseness: float) -> LogisticRegression:
    # Newton's steps reach the optimum in a few; the default stops short of it, and warns.
    weights = "balanced" if balanced else None
    own = {"C": looseness, "class_weight": weights}
    return LogisticRegression(**own, solver="newton-cholesky", tol=1e-8)
