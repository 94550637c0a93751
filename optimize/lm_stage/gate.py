"""Choose the gate: the certainty below which the LM is asked, for a share of tasks that holds."""

from collections.abc import Sequence

import numpy as np
from scipy.special import betaincinv

_SURE = 0.95  # that no more than the share is asked, of requests like those of validation


def choose_gate(certainties: Sequence[float] | np.ndarray, share: float) -> float:
    """Return the greatest gate that keeps to a share of the tasks, with 95 % certainty.

    The share of the given requests below a gate is an estimate: a gate at its quantile asks
    about more than that of every second sample. So the one-sided upper bound of the share
    (Clopper and Pearson, 1934) is kept to. The gate lies between two certainties, so that neither
    is taken for the other by what tasks that are read together round; with a share of 1 it is the
    greatest of them.

    Args:
        certainties: of retrieval's decisions about requests in scope, 0..1; one at least.
        share: of the tasks in scope that the LM is asked about at most, above 0.
    """
    ranked = np.sort(np.asarray(certainties, dtype=float))
    count = len(ranked)
    if share >= 1:
        return float(ranked[-1])
    asked = np.arange(count)
    within = betaincinv(asked + 1, count - asked, _SURE) <= share
    first = int(np.flatnonzero(within)[-1]) if within.any() else 0  # that is not asked
    return float(ranked[max(first - 1, 0) : first + 1].mean())
