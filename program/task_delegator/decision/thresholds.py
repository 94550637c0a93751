"""Choose a confidence threshold for a target precision (OperatingPoint)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What an assign threshold does on the requests it was chosen on.

    Attributes:
        target: precision that was asked for.
        threshold: least confidence to assign; None where no threshold reaches the target.
        n, right: requests that would be assigned, and how many rightly.
        coverage: share of all requests that would be assigned.
        lower_bound: one-sided 95 % bound of the precision (Clopper and Pearson, 1934).
        kept: whether that bound reaches the target; if not, the target is a point estimate
            on n requests and no promise. The bound is that of the requests on which the
            threshold, and the program before it, were chosen: for others it is optimistic.
    """

    target: float
    threshold: float | None
    n: int
    right: int
    coverage: float
    lower_bound: float
    kept: bool


def choose_threshold(
    confidences: Sequence[float] | np.ndarray, right: Sequence[bool] | np.ndarray, target: float
) -> OperatingPoint:
    """Return the least threshold whose precision reaches the target, as a point estimate.

    Args:
        confidences: of labeled requests, 0..1.
        right: whether the first place was right, in the same order.
        target: precision of what is assigned, above 0 and at most 1.
    """
    from scipy.special import betaincinv  # not needed where thresholds are only read

    scores, good = np.array(confidences, dtype=float), np.array(right, dtype=bool)
    order = np.argsort(-scores, kind="stable")
    precision = np.cumsum(good[order]) / np.arange(1, len(order) + 1)
    # A threshold lies between two different confidences.
    steps = np.append(np.diff(scores[order]) < 0, True)[: len(order)]
    reached = np.flatnonzero((precision >= target) & steps)
    if len(reached) == 0:
        return OperatingPoint(target, None, 0, 0, 0.0, 0.0, False)
    n = int(reached[-1]) + 1
    hits = int(good[order][:n].sum())
    bound = float(betaincinv(hits, n - hits + 1, 0.05)) if hits else 0.0
    return OperatingPoint(
        target=target,
        threshold=float(scores[order][n - 1]),
        n=n,
        right=hits,
        coverage=n / len(order),
        lower_bound=bound,
        kept=bound >= target,
    )
