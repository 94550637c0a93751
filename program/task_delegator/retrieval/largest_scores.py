"""The largest of many scores, without sorting all."""

import numpy as np

_FEW = 200  # scores that are sorted sooner than the best are looked for


def largest(scores: np.ndarray, number: int) -> np.ndarray:
    """Return the places of the largest scores, best first, ties in order; shape (number,) at most.

    Not all of many are sorted: of ten thousand, a handful counts.
    """
    if not 0 < number < len(scores) or len(scores) <= _FEW:
        return np.argsort(-scores, kind="stable")[:number]
    near = np.flatnonzero(scores >= reached(scores, number))
    return near[np.argsort(-scores[near], kind="stable")][:number]


def reached(scores: np.ndarray, number: int) -> float:
    """Return a score that at least so many reach: the least of the best of as many parts.

    In random order some five times as many reach it. `partition`, which knows exactly, takes long
    where most scores are equal, as those of words are.
    """
    each = len(scores) // number
    return float(scores[: each * number].reshape(number, each).max(axis=1).min())
