"""What is assigned, and how precisely at a stated share of out-of-scope traffic."""

from collections.abc import Sequence
from typing import Any

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
