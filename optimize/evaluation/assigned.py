"""What is assigned, and how precisely at a stated share of out-of-scope traffic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimize.evaluation import metrics
from optimize.evaluation.outcomes import Outcome
from task_delegator.decision import Counts
from task_delegator.delegation import Delegation


def assigned_at_share(
    outcomes: Sequence[Outcome], outside: Sequence[Delegation], share: float, seed: int = 0
) -> dict[str, Any]:
    """Return what is assigned in scope and out of scope, and the precision of all of it.

    Args:
        outcomes: of the requests in scope.
        outside: delegations of the requests out of scope.
        share: of out-of-scope traffic, 0 to below 1, that the precision is stated at.
        seed: of the interval.

    Returns:
        The keys of a report; the precision is None where it cannot be known.
    """
    assigned = [outcome for outcome in outcomes if outcome.delegation.decision == "assign"]
    right = sum(outcome.correct for outcome in assigned)
    n_outside = sum(delegation.decision == "assign" for delegation in outside)
    counts = Counts(len(outcomes), len(outside), right, len(assigned) - right, n_outside)
    known = share == 0 or len(outside) > 0
    interval = metrics.precision_at_share(counts, share, seed=seed) if known else None
    return {
        "assigned": len(assigned) / len(outcomes),
        "assigned_ci95": metrics.wilson(len(assigned), len(outcomes)),
        "assigned_out_of_scope": n_outside / len(outside) if outside else None,
        "assigned_out_of_scope_ci95": metrics.wilson(n_outside, len(outside)) if outside else None,
        "out_of_scope_share": share,
        "precision_at_share": counts.precision(share) if known else None,
        "precision_at_share_ci95": interval,
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more the first of two programs has of something.

    Attributes:
        difference: the first's less the second's.
        ci95: paired bootstrap interval of it, in scope and out of scope drawn each on its own.
        p: exact McNemar test of what tells the two apart, two-sided; 1 where nothing does.
    """

    difference: float
    ci95: tuple[float, float]
    p: float

    @property
    def is_lower(self) -> bool:
        """Whether it is surely lower: by the interval and, as that is short of few, by the test."""
        return self.ci95[1] < 0 and self.p < 0.05

    @property
    def is_higher(self) -> bool:
        """Whether it is surely higher."""
        return self.ci95[0] > 0 and self.p < 0.05


def compare_precision(
    outcomes: Sequence[Sequence[Outcome]],
    outside: Sequence[Sequence[Delegation]],
    share: float,
    seed: int = 0,
) -> Difference | None:
    """Compare the precision of everything that two programs assign; None where one assigns nothing.

    The test is of requests that one of them alone assigns wrongly, out of scope included.

    Args:
        outcomes: of the requests in scope, of either program, in the same order.
        outside: delegations of the requests out of scope, of either program, in the same order.
        share: of out-of-scope traffic that the precisions are stated at.
        seed: of the draws.
    """
    n, m = len(outcomes[0]), len(outside[0])
    first, second = map(_assigned_of, outcomes, outside)

    def difference(sums: Sequence[int]) -> float | None:
        own, other = (Counts(n, m, *part).precision(share) for part in (sums[:3], sums[3:]))
        return None if own is None or other is None else own - other

    both = np.concatenate([first, second], axis=1, dtype=int)
    observed = difference(both.sum(axis=0).tolist())
    if observed is None:
        return None
    strata = [part for part in (np.arange(n), np.arange(n, n + m)) if len(part)]
    drawn = map(difference, metrics.bootstrap_sums(both, strata, seed=seed).tolist())
    low, high = np.quantile([found for found in drawn if found is not None], [0.025, 0.975])
    errors = (each[:, 1] | each[:, 2] for each in (first, second))
    return Difference(observed, (float(low), float(high)), metrics.mcnemar(*errors))


def _assigned_of(outcomes: Sequence[Outcome], outside: Sequence[Delegation]) -> np.ndarray:
    """Return which requests, first those in scope, are assigned rightly, wrongly and out of scope.

    Shape (requests, 3), bool.
    """
    assigned = [o.delegation.decision == "assign" for o in outcomes]
    right = [o.correct for o in outcomes]
    far = [d.decision == "assign" for d in outside]
    sent, good = (np.array([*own, *[False] * len(far)], dtype=bool) for own in (assigned, right))
    beyond = np.array([*[False] * len(assigned), *far], dtype=bool)
    return np.stack([sent & good, sent & ~good, beyond], axis=1)
