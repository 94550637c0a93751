"""A linear head over frozen embeddings, fitted to the registry's own texts."""

from typing import Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression

SOFTMAX_AGENTS = 1000  # beyond this the softmax regression takes minutes; LDA takes a second
_MAX_ITERATIONS = 2000
_SHRINKAGE = 0.3  # weight of the identity in LDA's covariance; .1 to .5 rank alike


class Head(Protocol):
    """Score every class for one text."""

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """Return one logit per class, float64, shape (classes,)."""
        ...


def fit_head(vectors: np.ndarray, owners: np.ndarray, c: float) -> Head:
    """Fit softmax regression, or shrinkage LDA beyond ``SOFTMAX_AGENTS`` classes.

    Args:
        vectors: unit rows, shape (n, dim).
        owners: class of each row, 0..classes-1, shape (n,); two classes at least.
        c: inverse regularisation of the softmax regression.
    """
    if int(owners.max()) + 1 > SOFTMAX_AGENTS:
        return ShrinkageLDA(vectors, owners)
    return SoftmaxRegression(vectors, owners, c)


class SoftmaxRegression:
    """Multinomial logistic regression, a linear probe on the sentence encoder."""

    def __init__(self, vectors: np.ndarray, owners: np.ndarray, c: float) -> None:
        model = LogisticRegression(C=c, max_iter=_MAX_ITERATIONS, tol=1e-4)
        model.fit(vectors, owners)
        weights = np.asarray(model.coef_, dtype=np.float64)
        bias = np.asarray(model.intercept_, dtype=np.float64)
        if len(weights) == 1:  # two classes share one row: write both out
            weights, bias = np.vstack([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        if not np.abs(weights).max() > 0:
            raise ArithmeticError(f"softmax regression over {len(bias)} agents did not move")
        self._weights, self._bias = weights, bias

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """Return one logit per class, shape (classes,)."""
        return self._weights @ vector + self._bias


class ShrinkageLDA:
    """Linear discriminant analysis in closed form, covariance shrunk to the identity."""

    def __init__(self, vectors: np.ndarray, owners: np.ndarray) -> None:
        x = vectors.astype(np.float64)
        counts = np.bincount(owners)
        means = np.zeros((len(counts), x.shape[1]))
        np.add.at(means, owners, x)
        means /= counts[:, None]
        residuals = x - means[owners]
        covariance = residuals.T @ residuals / len(x)
        # With one text per class there is no spread within: any scale ranks by nearest mean.
        scale = np.trace(covariance) / len(covariance) or 1.0 / len(covariance)
        shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * scale * np.eye(len(covariance))
        weights = np.linalg.solve(shrunk, means.T).T
        self._bias = -0.5 * np.einsum("cd,cd->c", means, weights)
        # As exact as the vectors, half as much to read for each text, and by columns, as they are.
        self._weights = np.asfortranarray(weights.astype(np.float32))

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """Return one logit per class, shape (classes,)."""
        return self._weights @ vector + self._bias
