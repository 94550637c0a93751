"""Decide whether a candidate shall replace the champion, by how both answer the same requests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimize.evaluation import metrics, stated
from optimize.evaluation.compare import PairedComparison, SystemScore
from optimize.evaluation.outcomes import Outcome, grade_outcomes
from optimize.evaluation.stated import Stated
from task_delegator.delegation import Delegation
from task_delegator.knobs import KnobValues

_SURELY = 0.05  # p of the paired tests


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate is better, and in a few words why or why not."""

    better: bool
    reason: str


def judge(found: PairedComparison, losses: tuple[float, float] | None = None) -> Verdict:
    """Tell whether the first of two programs, the candidate, shall replace the second.

    It shall not where it assigns nothing and the other does, where what it assigns is surely right
    less often, or where it surely assigns less and that is not surely right more often. Else it
    shall where it names more right agents, by the paired test, or no fewer where the other assigns
    nothing. Where both put the same agent first for every request, it shall where its confidence
    is surely closer to what is so, even if it assigns less, or where it surely assigns more at no
    lower precision.

    Args:
        found: the comparison.
        losses: 95 % interval of the difference of log-losses (``compare_losses``).
    """
    closer = found.same_first and losses is not None and losses[1] < 0
    worse = _worse(found) or ("" if closer else _less(found))
    if worse:
        return Verdict(False, worse)
    candidate, champion = found.first, found.second
    if not _all_assigned(champion) and _all_assigned(candidate):
        if found.comparison.difference >= 0:
            return Verdict(True, "it names no fewer right agents, and the champion assigns nothing")
        return Verdict(False, "it names fewer right agents")
    if found.same_first:
        return _by_confidence(found, closer=closer)
    if found.winner == candidate.program:
        return Verdict(True, "it names more right agents")
    return Verdict(False, "it does not surely name more right agents")


def _worse(found: PairedComparison) -> str:
    """Return what forbids to promote the candidate, '' where nothing does."""
    candidate, champion, precision = found.first, found.second, found.precision
    if not _all_assigned(candidate) and _all_assigned(champion):
        return (
            f"it assigns nothing here, the champion {champion.assigned:.1%}; calibrate it for "
            "these agents first"
        )
    if precision is not None and precision.is_lower:
        return (
            f"what it assigns is right less often: {candidate.precision_at_share:.1%} for "
            f"{champion.precision_at_share:.1%} at {found.out_of_scope_share:.0%} out of scope"
        )
    return ""


def _less(found: PairedComparison) -> str:
    """Return by how much less the candidate assigns for nothing, '' where it does not."""
    candidate, champion, precision = found.first, found.second, found.precision
    fewer = found.assigned.difference < 0 and found.assigned.p < _SURELY
    if fewer and not (precision is not None and precision.is_higher):
        return (
            f"it assigns less: {candidate.assigned:.1%} for {champion.assigned:.1%}, which is not "
            "surely right more often"
        )
    return ""


def _by_confidence(found: PairedComparison, *, closer: bool) -> Verdict:
    """Decide between programs that put the same agent first for every request.

    Args:
        found: the comparison.
        closer: whether the candidate's confidence is surely closer to what is so.
    """
    if closer:
        return Verdict(True, "it names the same agents, and its confidence is closer to what is so")
    more = found.assigned.difference > 0 and found.assigned.p < _SURELY
    if more and found.precision is not None and found.precision.difference >= 0:
        return Verdict(True, "it names the same agents, and assigns more at no lower precision")
    return Verdict(False, "it names the same agents, and its confidence is not surely better")


def _all_assigned(score: SystemScore) -> int:
    return score.n_assigned + score.assigned_out_of_scope


def compare_losses(
    outcomes: Sequence[Sequence[Outcome]],
    outside: Sequence[Sequence[Delegation]],
    knobs: Sequence[KnobValues],
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of how much larger the first program's mean log-loss is.

    A paired bootstrap, in scope and out of scope drawn each on its own. Both are weighted to the
    share out of scope that the second program takes for granted, the champion.

    Args:
        outcomes: of the requests in scope, of either program, in the same order.
        outside: delegations of the requests out of scope, of either program.
        knobs: of either program.
        seed: of the draws.
    """
    answers = [[outcome.delegation for outcome in each] for each in outcomes]
    shares = [stated.share_of(*pair) for pair in zip(answers, knobs, strict=True)]
    whole = None not in shares  # else one of them states nothing of requests out of scope
    first, second = (
        stated.state(own, grade_outcomes(each), far if whole else (), held, shares[1])
        for own, each, far, held in zip(answers, outcomes, outside, knobs, strict=True)
    )
    return _interval(first, second, seed)


def _interval(first: Stated, second: Stated, seed: int) -> tuple[float, float]:
    n = len(first.weights)
    losses = (stated.log_losses(first) - stated.log_losses(second)) * first.weights * n
    strata = [part for part in map(np.flatnonzero, (first.inside, ~first.inside)) if len(part)]
    drawn = metrics.bootstrap_sums(losses[:, None], strata, seed=seed) / n
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
