"""Choose the assign threshold for a target precision of everything that is assigned."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .certify import Counts, lower_bound, p_value

# A confidence differs by some 1e-6 where tasks are read together. A threshold is lower than the
# confidences that it is to assign, or all that share one would fall below it.
_BELOW = 1e-5
# What is assigned at the threshold that is tested first: so many requests in scope that few errors
# do not end the sequence, so large a share that the bound of what is assigned out of scope costs
# a point of precision at most, but no more than the larger share of the requests.
_FIRST_REQUESTS, _FIRST_COST, _FIRST_SHARE = 200, 0.01, 0.6
# Thresholds that are tested, the highest first: even steps of the log-odds.
_GRID = tuple(1 / (1 + math.exp(-step / 20)) for step in range(160, -161, -1))


@dataclass(frozen=True, slots=True)
class Target:
    """What the precision of everything that is assigned shall be.

    Attributes:
        precision: above 0 and at most 1.
        out_of_scope_share: of the traffic, 0 to below 1.
        delta: probability of missing the precision that is accepted, between 0 and 1.

    Raises:
        InputError: a number is out of its range.
    """

    precision: float = 0.95
    out_of_scope_share: float = 0.2
    delta: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.precision <= 1:
            raise InputError(
                f"target precision {self.precision}: must be above 0 and at most 1, such as 0.95"
            )
        if not 0 <= self.out_of_scope_share < 1:
            raise InputError(
                f"out-of-scope share {self.out_of_scope_share}: must be from 0 to below 1, "
                "such as 0.2"
            )
        if not 0 < self.delta < 1:
            raise InputError(f"delta {self.delta}: must be between 0 and 1, such as 0.1")


@dataclass(frozen=True, slots=True)
class Sample:
    """Confidences of labeled requests in scope and out of scope.

    A confidence of -inf is that of a request that no threshold assigns (its decision is ``none``),
    inf that of one that is assigned whatever the threshold.

    Attributes:
        confidences: shape (n_in,), of requests that some agent fits.
        right: shape (n_in,), whether the first place was right.
        out_of_scope: shape (n_out,), confidences of requests that no agent fits.
    """

    confidences: np.ndarray
    right: np.ndarray
    out_of_scope: np.ndarray

    @classmethod
    def of(
        cls,
        confidences: Sequence[float] | np.ndarray,
        right: Sequence[bool] | np.ndarray,
        out_of_scope: Sequence[float] | np.ndarray = (),
    ) -> "Sample":
        """Return a sample of plain sequences."""
        return cls(
            np.array(confidences, dtype=float),
            np.array(right, dtype=bool),
            np.array(out_of_scope, dtype=float),
        )

    def assigned(self, threshold: float) -> Counts:
        """Return what a threshold assigns."""
        inside = self.confidences >= threshold
        right = int((inside & self.right).sum())
        return Counts(
            n_in=len(self.confidences),
            n_out=len(self.out_of_scope),
            right=right,
            wrong=int(inside.sum()) - right,
            out_of_scope=int((self.out_of_scope >= threshold).sum()),
        )

    def thresholds(self) -> np.ndarray:
        """Return the confidences in scope that are one, each once, the highest first."""
        return np.unique(self.confidences[np.isfinite(self.confidences)])[::-1]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What an assign threshold does on the requests it was chosen on.

    Attributes:
        target: precision that was asked for, of everything that is assigned.
        out_of_scope_share: of the traffic that the precisions are stated at; 0 without labeled
            requests out of scope, whatever was asked for.
        delta: probability of missing the target that is accepted.
        threshold: least confidence to assign; None where no threshold reaches the target.
        n, right: requests in scope that would be assigned, and how many rightly.
        out_of_scope: requests out of scope that would be assigned.
        n_in_scope, n_out_of_scope: requests that it was chosen on.
        coverage: share in scope that would be assigned.
        precision: estimated for everything that would be assigned.
        lower_bound: of that precision, which it exceeds with probability 1 - delta.
        kept: whether the target is certified; if not, the threshold is a point estimate. Others
            than these requests were not seen: those on which the program before the threshold
            was chosen are kinder than traffic.
        best: highest target that could have been certified, where this one is not.
    """

    target: float
    out_of_scope_share: float
    delta: float
    threshold: float | None
    n: int
    right: int
    out_of_scope: int
    n_in_scope: int
    n_out_of_scope: int
    coverage: float
    precision: float
    lower_bound: float
    kept: bool
    best: float | None

    @property
    def loudness(self) -> int:
        """The level at which it is logged: a warning where it promises nothing."""
        return logging.INFO if self.kept else logging.WARNING

    def sentence(self) -> str:
        """Return what is promised, or that nothing is, in one line."""
        shown = "none" if self.threshold is None else f"{self.threshold:.3f}"
        head = (
            f"assign threshold {shown}; {self.right} of {self.n} validation requests right, "
            f"{self.out_of_scope} of {self.n_out_of_scope} out of scope assigned"
        )
        what = f"a precision of {self.target:.1%} at {self.out_of_scope_share:.0%} out of scope"
        if not self.n_out_of_scope:
            what += " (no labeled request is out of scope)"
        if self.best is None:
            return f"{head}: {what} is certified with a probability of {1 - self.delta:.0%}"
        return (
            f"{head}: {what} cannot be certified with n = {self.n_in_scope} in scope and "
            f"{self.n_out_of_scope} out of scope, the best is {self.best:.1%}; the threshold is a "
            f"point estimate"
        )


def choose_threshold(sample: Sample, target: Target) -> OperatingPoint:
    """Return the least threshold that certainly reaches the target, else that seems to reach it.

    Thresholds are tested in a fixed order, the highest first, up to the first that fails
    (learn then test: Angelopoulos et al., 2021): the last that passed reaches the target with
    probability 1 - delta, given that requests are drawn independently and that precision does not
    fall as the threshold rises. The order starts where labels have no say, at the confidence
    that a given share of the requests in scope exceeds.

    Where the first one fails, the threshold is the least whose estimated precision reaches the
    target, but no lower than that of the best target that is certified: a more demanding target
    never has a lower threshold.
    """
    share = target.out_of_scope_share if len(sample.out_of_scope) else 0.0
    delta = target.delta

    def passes(threshold: float, precision: float) -> bool:
        return p_value(sample.assigned(threshold), precision, share, delta) <= delta

    order = _order(sample, share, delta)
    certified = _last_that_passes(sample, order, lambda t: passes(t, target.precision))
    threshold, best = certified, None
    if certified is None:
        best = lower_bound(sample.assigned(order[0]), share, delta) if order else 0.0
        careful = _last_that_passes(sample, order, lambda t: passes(t, best))
        threshold = _estimate(sample, target.precision, share, careful or 0.0)
    threshold = None if threshold is None else _below(threshold, sample)
    counts = sample.assigned(math.inf if threshold is None else threshold)
    return OperatingPoint(
        target=target.precision,
        out_of_scope_share=share,
        delta=delta,
        threshold=threshold,
        n=counts.assigned,
        right=counts.right,
        out_of_scope=counts.out_of_scope,
        n_in_scope=counts.n_in,
        n_out_of_scope=counts.n_out,
        coverage=counts.assigned / counts.n_in if counts.n_in else 0.0,
        precision=counts.precision(share) or 0.0,
        lower_bound=lower_bound(counts, share, delta),
        kept=certified is not None,
        best=best,
    )


def _order(sample: Sample, share: float, delta: float) -> list[float]:
    """Return the thresholds in the order in which they are tested; labels have no say."""
    known = sample.thresholds()
    if len(known) == 0:
        return []
    n_in, n_out = len(sample.confidences), len(sample.out_of_scope)
    # Where none of n_out is assigned, the true share is below log(1 / delta) / n_out.
    unseen = share / (1 - share) * math.log(1 / delta) / n_out if n_out else 0.0
    coverage = min(max(_FIRST_REQUESTS / n_in, unseen / _FIRST_COST), _FIRST_SHARE)
    # Of those that a threshold has a say in: the others may be less precise than its first ones.
    ranked = np.sort(sample.confidences[sample.confidences < np.inf])[::-1]
    first = max(float(ranked[math.ceil(coverage * len(ranked)) - 1]), float(known[-1]))
    return [first, *(threshold for threshold in _GRID if threshold < first)]


def _last_that_passes(
    sample: Sample, order: Sequence[float], passes: Callable[[float], bool]
) -> float | None:
    """Return the least confidence that is assigned at the last threshold before one fails."""
    last, seen = None, None
    for threshold in order:
        counts = sample.assigned(threshold)
        if counts == seen:
            continue
        if not passes(threshold):
            break
        last, seen = threshold, counts
    if last is None:
        return None
    known = sample.thresholds()
    return float(known[known >= last][-1])


def estimate_threshold(sample: Sample, precision: float) -> float | None:
    """Return the least threshold whose estimated precision reaches the target, in scope alone.

    Half the time others than the sample fall short of it.
    """
    found = _estimate(sample, precision)
    return None if found is None else _below(found, sample)


def _below(threshold: float, sample: Sample) -> float:
    """Return a threshold a little below one, and above the next lower confidence."""
    known = np.concatenate([sample.confidences, sample.out_of_scope])
    lower = known[(known > 0) & (known < threshold)]
    nearest = float(lower.max()) if len(lower) else 0.0
    between = (threshold + nearest) / 2  # of neighboring floats it may round to the lower one
    return max(threshold - _BELOW, between if between > nearest else threshold)


def _estimate(
    sample: Sample, precision: float, share: float = 0.0, least: float = 0.0
) -> float | None:
    """Return the least confidence, from one on, from which on the precision seems reached."""
    for threshold in sample.thresholds()[::-1]:
        estimated = sample.assigned(threshold).precision(share)
        if threshold >= least and estimated is not None and estimated >= precision:
            return float(threshold)
    return None
