"""Test whether the precision of everything that is assigned reaches a target.

Requests in scope and out of scope are two samples; the share of out-of-scope traffic that they
are weighted by is stated, not observed. With A the share in scope that is assigned, q the wrong
share of those, a the share out of scope that is assigned, and r = share / ((1 - share) A), the
precision of everything that is assigned is (1 - q) / (1 + r a).
"""

from dataclasses import dataclass

import numpy as np

# Of the error probability, for the bound of A: where a sequence of thresholds begins, and later.
_NUISANCE, _PLACES = 0.025, 2
_CELLS = 400  # of the share a, 0..1, in each of which the test is bounded
_STEPS = 14  # of the bisection for a bound, each half of the last: 0.01 points
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Counts:
    """What a threshold assigns, of labeled requests.

    Attributes:
        n_in, n_out: requests in scope and out of scope.
        right, wrong: assigned in scope, to an acceptable agent or another.
        out_of_scope: assigned though no agent fits.
    """

    n_in: int
    n_out: int
    right: int
    wrong: int
    out_of_scope: int

    @property
    def assigned(self) -> int:
        """How many in scope are assigned."""
        return self.right + self.wrong

    def precision(self, share: float) -> float | None:
        """Return the estimated precision of everything assigned, None where nothing is.

        Args:
            share: of out-of-scope traffic, 0 to below 1.
        """
        outside = 0.0  # so many for these requests in scope
        if share and self.n_out:
            outside = share / (1 - share) * self.n_in * self.out_of_scope / self.n_out
        return self.right / (self.assigned + outside) if self.assigned + outside else None


def p_value(counts: Counts, target: float, share: float, delta: float) -> float:
    """Return the p-value of "the precision of everything assigned is below the target".

    The greatest probability, over all q and a whose precision is the target, of an estimate at
    least as good as the observed one, given the number assigned in scope (Buehler, 1957). A is at
    its lower bound (Clopper and Pearson, 1934), whose error is added (Berger and Boos, 1994). At
    share 0 it is the p-value of Clopper and Pearson.

    Args:
        counts: of independent labeled requests.
        target: precision, above 0 and at most 1.
        share: of out-of-scope traffic, 0 to below 1.
        delta: the error probability that the p-value will be compared with.
    """
    from scipy.special import bdtr, betaincinv

    m, n, wrong = counts.assigned, counts.n_out, counts.wrong
    if m == 0 or (share > 0 and n == 0):
        return 1.0
    if share == 0:
        return float(bdtr(wrong, m, 1 - target))
    nuisance = _NUISANCE * delta
    ratio = share / ((1 - share) * float(betaincinv(m, counts.n_in - m + 1, nuisance)))
    estimate = (counts.right / m) / (1 + ratio * counts.out_of_scope / n)
    # In a cell, a is at least the lower edge and q at least that of the upper edge: the
    # probability of so good an estimate falls in both.
    edges = np.linspace(0.0, 1.0, _CELLS + 1) ** 2
    low, high = edges[:-1], edges[1:]
    possible = target * (1 + ratio * low) <= 1
    low, high = low[possible], high[possible]
    q = np.maximum(1 - target * (1 + ratio * high), 0.0)
    outside = np.arange(n + 1)
    most_wrong = np.floor(m * (1 - estimate * (1 + ratio * outside / n)) + _ROUNDING)
    outside = outside[most_wrong >= 0]
    most_wrong = np.minimum(most_wrong[most_wrong >= 0], m)
    exactly = np.diff(bdtr(outside[:, None], n, low[None]), axis=0, prepend=0.0)
    as_good = (exactly * bdtr(most_wrong[:, None], m, q[None])).sum(axis=0)
    return min(float(as_good.max()) + _PLACES * nuisance, 1.0)


def lower_bound(counts: Counts, share: float, delta: float) -> float:
    """Return the highest precision that the counts certify with probability 1 - delta."""
    low, high = 0.0, counts.precision(share) or 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if p_value(counts, middle, share, delta) <= delta:
            low = middle
        else:
            high = middle
    return low
