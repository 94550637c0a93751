"""Compare two programs on the same requests, in total and per domain and agent."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy
import numpy as np

from optimize.data import Dataset, Request
from optimize.evaluation import metrics
from optimize.evaluation.assigned import Difference, assigned_at_share, compare_precision
from optimize.evaluation.metrics import Comparison
from optimize.evaluation.outcomes import (
    Outcome,
    delegate_all,
    delegate_texts,
    grade_outcomes,
    select,
    select_requests,
)
from optimize.provenance import commit
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator


@dataclass(frozen=True, slots=True)
class SystemScore:
    """The scores of one of the programs.

    Attributes:
        top1, top3: share of requests with an acceptable agent at rank 1, among the first three.
        top1_ci95: Wilson's interval of top1.
        lm_calls_per_task: mean number of LM calls.
        assigned, n_assigned: share and number of requests that were assigned.
        assigned_out_of_scope: number of requests out of scope that were.
        precision_at_share, precision_at_share_ci95: of everything assigned, at the comparison's
            share of requests out of scope; None where nothing is assigned.
    """

    program: str
    top1: float
    top1_ci95: tuple[float, float]
    top3: float
    lm_calls_per_task: float
    assigned: float
    n_assigned: int
    assigned_out_of_scope: int
    precision_at_share: float | None
    precision_at_share_ci95: tuple[float, float] | None

    def sentence(self) -> str:
        """Return what it assigns in a line, without its name."""
        told = f"{self.assigned:.1%} ({self.n_assigned}"
        told += f" and {self.assigned_out_of_scope} out of scope)"
        if self.precision_at_share is None or self.precision_at_share_ci95 is None:
            return told
        low, high = self.precision_at_share_ci95
        return f"{told}, precision {self.precision_at_share:.1%} ({low:.1%} to {high:.1%})"


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two programs compared on the same requests; differences are first minus second.

    Attributes:
        n_out_of_scope: requests out of scope that both answered.
        out_of_scope_share: that the precision of everything assigned is stated at; 0 without
            requests out of scope.
        comparison: of right first agents.
        assigned: of what is assigned in scope, rightly or not.
        precision: of everything assigned at that share; None where one assigns nothing.
        same_first: whether both put the same agent first for every request.
        winner: name of the better program where McNemar's p is below 0.05, else None.
        by_domain: per domain of the expected agent, requests that only the first and only the
            second answered correctly.
        by_agent: the same per expected agent, where they differ, most first.
    """

    data: str
    split: str
    seed: int
    lm: str | None
    commit: str
    n: int
    first: SystemScore
    second: SystemScore
    n_out_of_scope: int
    out_of_scope_share: float
    comparison: Comparison
    assigned: Comparison
    precision: Difference | None
    same_first: bool
    winner: str | None
    by_domain: dict[str, tuple[int, int]]
    by_agent: dict[str, tuple[int, int]]

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary of plain JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the result in a line."""
        low, high = self.comparison.ci95
        return (
            f"{self.first.program} {self.first.top1:.1%}, {self.second.program} "
            f"{self.second.top1:.1%}: {100 * self.comparison.difference:+.1f} points "
            f"({100 * low:+.1f} to {100 * high:+.1f}), p = {self.comparison.p:.2g}, n {self.n}; "
            f"assigned {self.first.sentence()} and {self.second.sentence()} at "
            f"{self.out_of_scope_share:.0%} out of scope; "
            + (f"{self.winner} wins" if self.winner else "no winner at 95 %")
        )


def compare_programs(
    programs: Sequence[tuple[str, Delegator]],
    dataset: Dataset,
    split: str,
    *,
    lm: dspy.BaseLM | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> PairedComparison:
    """Evaluate two programs on the same requests and compare them.

    Args:
        programs: names and programs, over the dataset's registry.
        lm: the LM that both programs may ask, or None.
        limit: compare on a fixed random subset of this size.

    Raises:
        InputError: the split is empty.
    """
    answered = answer_all(programs, dataset, split, lm=lm, limit=limit, seed=seed)
    return compare_outcomes(answered, dataset, split, lm=lm, seed=seed)


def answer_all(
    programs: Sequence[tuple[str, Delegator]],
    dataset: Dataset,
    split: str,
    *,
    lm: dspy.BaseLM | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[tuple[str, list[Outcome]]]:
    """Return what each program answers to the same requests; arguments as ``compare_programs``.

    Raises:
        InputError: the split is empty.
    """
    requests = select_requests(dataset, split, limit, seed)
    with dspy.context(lm=lm):
        return [(name, delegate_all(program, requests, name)) for name, program in programs]


def answer_outside(
    programs: Sequence[tuple[str, Delegator]],
    dataset: Dataset,
    split: str,
    *,
    lm: dspy.BaseLM | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[list[Delegation]]:
    """Return what each program answers to the requests of a split that are out of scope."""
    texts = select(dataset.out_of_scope[split], limit, seed)
    with dspy.context(lm=lm):
        return [delegate_texts(program, texts, "out of scope") for _, program in programs]


def compare_outcomes(
    answered: Sequence[tuple[str, Sequence[Outcome]]],
    dataset: Dataset,
    split: str,
    *,
    lm: dspy.BaseLM | None = None,
    seed: int = 0,
    outside: Sequence[Sequence[Delegation]] = ((), ()),
    out_of_scope_share: float = 0.0,
) -> PairedComparison:
    """Compare what two programs answered to the same requests.

    Args:
        answered: names of the programs and their outcomes, in the same order.
        dataset, split: that the requests are of.
        lm: the LM that both programs could ask, or None.
        seed: of the intervals' draws.
        outside: what each answered to requests out of scope, in the same order.
        out_of_scope_share: of the traffic that precisions are stated at, where there are any.
    """
    names, outcomes = [name for name, _ in answered], [each for _, each in answered]
    requests = [outcome.request for outcome in outcomes[0]]
    comparison = _compare(list(map(grade_outcomes, outcomes)), seed)
    domains = {agent.name: agent.domain or "(none)" for agent in dataset.registry}
    share = out_of_scope_share if outside[0] else 0.0
    scores = [
        _score_system(name, each, others, share, seed)
        for name, each, others in zip(names, outcomes, outside, strict=True)
    ]
    firsts = [[outcome.ranking[:1] for outcome in each] for each in outcomes]
    return PairedComparison(
        data=str(dataset.path),
        split=split,
        seed=seed,
        lm=None if lm is None else str(lm.model),
        commit=commit(),
        n=len(requests),
        first=scores[0],
        second=scores[1],
        n_out_of_scope=len(outside[0]),
        out_of_scope_share=share,
        comparison=comparison,
        assigned=_compare(list(map(_assigned, outcomes)), seed),
        precision=compare_precision(outcomes, outside, share, seed),
        same_first=firsts[0] == firsts[1],
        winner=names[comparison.difference < 0] if comparison.p < 0.05 else None,
        by_domain=_count_wins(requests, outcomes, lambda name: domains[name]),
        by_agent=_count_wins(requests, outcomes, str),
    )


def _compare(outcomes: Sequence[np.ndarray], seed: int) -> Comparison:
    return metrics.compare(outcomes[0], outcomes[1], seed=seed)


def _assigned(outcomes: Sequence[Outcome]) -> np.ndarray:
    return np.array([outcome.delegation.decision == "assign" for outcome in outcomes])


def _score_system(
    name: str, outcomes: Sequence[Outcome], outside: Sequence[Delegation], share: float, seed: int
) -> SystemScore:
    correct, n = grade_outcomes(outcomes), len(outcomes)
    at_share = assigned_at_share(outcomes, outside, share, seed)
    return SystemScore(
        program=name,
        top1=float(correct.mean()),
        top1_ci95=metrics.wilson(int(correct.sum()), n),
        top3=sum(o.rank is not None and o.rank <= 3 for o in outcomes) / n,
        lm_calls_per_task=sum(o.delegation.usage.lm_calls for o in outcomes) / n,
        assigned=at_share["assigned"],
        n_assigned=int(_assigned(outcomes).sum()),
        assigned_out_of_scope=sum(delegation.decision == "assign" for delegation in outside),
        precision_at_share=at_share["precision_at_share"],
        precision_at_share_ci95=at_share["precision_at_share_ci95"],
    )


def _count_wins(
    requests: Sequence[Request], outcomes: Sequence[Sequence[Outcome]], group: Any
) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for request, first, second in zip(requests, *outcomes, strict=True):
        if first.correct != second.correct:
            wins, losses = counts.get(group(request.expected), (0, 0))
            wins, losses = (wins + 1, losses) if first.correct else (wins, losses + 1)
            counts[group(request.expected)] = wins, losses
    return dict(sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0])))


def differs(first: Outcome, second: Outcome) -> bool:
    """Tell whether two programs answer a request differently: other agent, or other decision."""
    return (first.ranking[:1], first.delegation.decision) != (
        second.ranking[:1],
        second.delegation.decision,
    )


def differing_lines(answered: Sequence[tuple[str, Sequence[Outcome]]], most: int) -> list[str]:
    """Return a line for each request that two programs answer differently.

    Those that one of them answers rightly come first, then those that both do, or neither.

    Args:
        answered: names of the programs and their outcomes, in the same order.
        most: lines.
    """
    (one, ours), (other, theirs) = answered
    pairs = [pair for pair in zip(ours, theirs, strict=True) if differs(*pair)]
    pairs.sort(key=lambda pair: pair[0].correct == pair[1].correct)
    return [
        f"{first.request.text!r}: {first.request.expected} is right; {one} says {_said(first)}, "
        f"{other} {_said(second)}"
        for first, second in pairs[:most]
    ]


def _said(outcome: Outcome) -> str:
    agent = outcome.ranking[0] if outcome.ranking else "nobody"
    return f"{agent} ({outcome.delegation.decision}, {outcome.confidence:.2f})"
