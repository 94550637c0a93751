"""Linear head over frozen embeddings: softmax regression, or LDA for many agents.

Logits are in units of the mean logit that the texts it was fitted to give their own agents. So a
logit says the same of either head, and of a few agents as of many: near 1, a text is as typical of
an agent as its own samples.
"""

import hashlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from ..embedders import VectorCache
from ..system import no_fork

SOFTMAX_AGENTS = 1000  # beyond this the softmax regression takes minutes; LDA takes a second
_METHOD = "softmax regression 1"  # with another number, what was kept is fitted again
_MAX_ITERATIONS = 2000
_TOLERANCE = 1e-4  # largest slope at the end
_LEAST_UNIT = 1e-3  # mean logit of samples; with less, the head tells nothing apart
_SHRINKAGE = 0.3  # weight of the identity in LDA's covariance; .1 to .5 rank alike


class Head(Protocol):
    """Score every class for one text.

    Attributes:
        nbytes: how much of memory it takes.
    """

    nbytes: int

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """Return one logit per class, float64, shape (classes,); of columns (classes, tasks)."""
        ...


Means = Callable[[np.ndarray], np.ndarray]  # products of each class's mean with vectors


def fit_head(
    vectors: np.ndarray,
    owners: np.ndarray,
    c: float,
    kept: VectorCache | None = None,
    means: Means | None = None,
) -> Head:
    """Fit softmax regression, or shrinkage LDA beyond ``SOFTMAX_AGENTS`` classes.

    Args:
        vectors: unit rows, shape (n, dim).
        owners: class of each row, 0..classes-1, shape (n,); two classes at least.
        c: inverse regularization of the softmax regression.
        kept: softmax regressions that were fitted before.
        means: calculates products with the means of the classes, which LDA then does not hold.

    A fork meanwhile waits until the head is fitted.
    """
    with no_fork():
        if int(owners.max()) + 1 > SOFTMAX_AGENTS:
            with one_thread():
                return ShrinkageLDA(vectors, owners, means)
        return SoftmaxRegression(vectors, owners, c, kept)


def one_thread() -> AbstractContextManager[Any]:
    """Return a context whose products run on one thread, those of others in this process too.

    A linear algebra library splits a product over threads and waits for them by asking again and
    again. Where the threads of a service have the processors, a fit takes ten times as much of
    them. Of several threads at a time the first decides (``threadpoolctl``).
    """
    return _libraries("scipy.optimize" in sys.modules).limit(limits=1, user_api="blas")


@lru_cache(maxsize=2)
def _libraries(with_scipy: bool) -> Any:
    """Return the linear algebra libraries of this process; scipy has one of its own."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class SoftmaxRegression:
    """Multinomial logistic regression, a linear probe on the sentence encoder.

    Objective, start, solver and tolerances are those of scikit-learn's ``LogisticRegression``,
    whose import costs more than the fit.

    Args:
        vectors, owners, c: see ``fit_head``.
        kept: what was fitted before, in this process or another; None to fit anew.

    Raises:
        ArithmeticError: the solver did not leave its start.
    """

    def __init__(
        self, vectors: np.ndarray, owners: np.ndarray, c: float, kept: VectorCache | None = None
    ) -> None:
        shape = int(owners.max()) + 1, vectors.shape[1] + 1
        key = _digest(vectors, owners, c)
        content = kept.read([key]).get(key, b"") if kept is not None else b""
        if len(content) == shape[0] * shape[1] * 8:
            fitted = np.frombuffer(content).reshape(shape)
        else:
            fitted = _fit_softmax(vectors, owners, c)
            if kept is not None:
                kept.write({key: fitted.tobytes()})
        weights, bias = fitted[:, :-1], fitted[:, -1]
        unit = _unit(vectors, owners, weights, bias)
        self._weights, self._bias = np.ascontiguousarray(weights / unit), bias / unit
        self.nbytes = 2 * self._weights.nbytes

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """Return one logit per class, shape (classes,)."""
        return ((self._weights @ vector).T + self._bias).T


def _fit_softmax(vectors: np.ndarray, owners: np.ndarray, c: float) -> np.ndarray:
    """Return weights and, last, bias of each class, float64, shape (classes, dim + 1).

    The mean log-loss plus half the squared weights over ``c`` times n, from zero, by L-BFGS;
    in the precision of the vectors, as the vectors are no more exact.
    """
    from scipy.optimize import minimize

    number, dim = vectors.shape
    classes = int(owners.max()) + 1
    places = np.arange(number)
    # Two classes are one row of weights there, the difference of ours: penalized twice as much.
    ridge = (2 if classes == 2 else 1) / (c * number)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        table = flat.reshape(dim + 1, classes)
        weights = table[:-1].astype(vectors.dtype)
        logits = vectors @ weights + table[-1].astype(vectors.dtype)
        logits -= logits.max(axis=1, keepdims=True)
        own = logits[places, owners]
        shares = np.exp(logits, out=logits)
        sums = shares.sum(axis=1)
        lost = float((np.log(sums) - own).mean(dtype=np.float64))
        shares /= sums[:, None]
        shares[places, owners] -= 1
        shares /= number
        slope = np.empty_like(table)
        slope[:-1] = vectors.T @ shares
        slope[:-1] += ridge * table[:-1]
        slope[-1] = shares.sum(axis=0)
        return lost + 0.5 * ridge * float(np.vdot(table[:-1], table[:-1])), slope.ravel()

    options = {
        "maxiter": _MAX_ITERATIONS,
        "maxls": 50,
        "gtol": _TOLERANCE,
        "ftol": 64 * np.finfo(float).eps,
    }
    start = np.zeros((dim + 1) * classes)
    with one_thread():
        found = minimize(loss, start, method="L-BFGS-B", jac=True, options=options)
    fitted = found.x.reshape(dim + 1, classes).T
    if not np.abs(fitted[:, :-1]).max() > 0:
        raise ArithmeticError(f"softmax regression over {classes} agents did not move")
    return np.ascontiguousarray(fitted)


def _digest(vectors: np.ndarray, owners: np.ndarray, c: float) -> bytes:
    """Return a digest of all that a fit depends on; the vectors stand for texts and embedder."""
    shape = f"{_METHOD} {vectors.dtype} {vectors.shape} {c!r}"
    digest = hashlib.sha256(shape.encode())
    digest.update(np.ascontiguousarray(vectors).data)
    digest.update(np.ascontiguousarray(owners, dtype=np.int64).data)
    return digest.digest()


class ShrinkageLDA:
    """Linear discriminant analysis in closed form, covariance shrunk to the identity.

    Args:
        vectors, owners: see ``fit_head``.
        means_of: the same as ``means`` there.
    """

    def __init__(
        self, vectors: np.ndarray, owners: np.ndarray, means_of: Means | None = None
    ) -> None:
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
        bias = -0.5 * np.einsum("cd,cd->c", means, weights)
        center, offset = weights.mean(axis=0), bias.mean()  # zero, as of the regression
        unit = _unit(x, owners, weights - center, bias - offset)
        self._bias = (bias - offset) / unit
        self._means_of = means_of
        if means_of is None:
            # As exact as the vectors, half as much to read for each text, by columns as they are.
            self._weights = np.asfortranarray(((weights - center) / unit).astype(np.float32))
        else:
            self._weights = np.linalg.inv(shrunk) / unit
            self._center = center / unit
        self.nbytes = self._weights.nbytes + self._bias.nbytes

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """Return one logit per class, shape (classes,)."""
        products = self._weights @ vector
        if self._means_of is not None:
            products = self._means_of(products.astype(np.float32)) - self._center @ vector
        return (products.T + self._bias).T


def _unit(vectors: np.ndarray, owners: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> float:
    """Return the mean logit of the own agents of texts; 1 where that is none to divide by."""
    mean = float(np.einsum("nd,nd->n", vectors, weights[owners]).mean() + bias[owners].mean())
    return mean if mean > _LEAST_UNIT else 1.0
