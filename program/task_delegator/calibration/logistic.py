"""Logistic regression with weighted rows, without scikit-learn: its import costs a second."""

import numpy as np

_RIDGE = 1.0  # on features that were divided by their spread
_EQUAL = 1e-9  # of a column's largest number, by which its numbers differ by rounding alone


def fit_logistic(
    table: np.ndarray,
    labels: np.ndarray,
    row_weights: np.ndarray | None = None,
    ridge: float = _RIDGE,
) -> tuple[float, np.ndarray]:
    """Return bias and weights that minimize the log-loss plus a ridge on the weights.

    The ridge does not depend on the features' units; a feature that does not vary gets no weight.

    Args:
        table: shape (n, features).
        labels: shape (n,), bool; both values occur.
        row_weights: what each row counts, shape (n,); None for 1 each.
        ridge: half of it is what a squared weight costs, of a feature divided by its spread.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    weights = np.ones(len(labels)) if row_weights is None else row_weights
    spread = spreads(table)
    center = table.mean(axis=0)
    scaled = (table - center) / spread
    signs = np.where(labels, 1.0, -1.0)

    def loss(fitted: np.ndarray) -> tuple[float, np.ndarray]:
        odds = signs * (fitted[0] + scaled @ fitted[1:])
        slopes = -signs * weights * expit(-odds)
        lost = weights @ np.logaddexp(0, -odds) + ridge / 2 * fitted[1:] @ fitted[1:]
        return float(lost), np.append(slopes.sum(), slopes @ scaled + ridge * fitted[1:])

    found = minimize(
        loss,
        np.zeros(1 + table.shape[1]),
        method="L-BFGS-B",
        jac=True,
        options={"maxiter": 1000, "gtol": 1e-6, "ftol": 1e-12},
    ).x
    raw = found[1:] / spread
    return float(found[0] - raw @ center), raw


def spreads(table: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column, 1 where it does not vary.

    Of equal numbers it may be rounded to more than 0, which would blow them up.
    """
    found = table.std(axis=0)
    return np.where(found > _EQUAL * np.abs(table).max(axis=0), found, 1.0)
