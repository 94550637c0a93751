"""Compare two programs on the same requests, in total and per domain and agent."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy

from optimize.data import Dataset, Request
from optimize.evaluation import metrics
from optimize.evaluation.metrics import Comparison
from optimize.evaluation.outcomes import Outcome, delegate_all, grade_outcomes, select_requests
from optimize.provenance import commit
from task_delegator.delegator import Delegator


@dataclass(frozen=True, slots=True)
class SystemScore:
    """The scores of one of the programs.

    Attributes:
        top1, top3: share of requests with an acceptable agent at rank 1, among the first three.
        top1_ci95: Wilson's interval of top1.
        lm_calls_per_task: mean number of LM calls.
        assigned: share of requests that were assigned.
    """

    program: str
    top1: float
    top1_ci95: tuple[float, float]
    top3: float
    lm_calls_per_task: float
    assigned: float


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two programs compared on the same requests; differences are first minus second.

    Attributes:
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
    comparison: Comparison
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
            f"assigned {self.first.assigned:.1%} and {self.second.assigned:.1%}; "
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


def compare_outcomes(
    answered: Sequence[tuple[str, Sequence[Outcome]]],
    dataset: Dataset,
    split: str,
    *,
    lm: dspy.BaseLM | None = None,
    seed: int = 0,
) -> PairedComparison:
    """Compare what two programs answered to the same requests.

    Args:
        answered: names of the programs and their outcomes, in the same order.
        dataset, split: that the requests are of.
        lm: the LM that both programs could ask, or None.
        seed: of the interval's draws.
    """
    names, outcomes = [name for name, _ in answered], [each for _, each in answered]
    requests = [outcome.request for outcome in outcomes[0]]
    correct = [grade_outcomes(each) for each in outcomes]
    comparison = metrics.compare(correct[0], correct[1], seed=seed)
    domains = {agent.name: agent.domain or "(none)" for agent in dataset.registry}
    return PairedComparison(
        data=str(dataset.path),
        split=split,
        seed=seed,
        lm=None if lm is None else str(lm.model),
        commit=commit(),
        n=len(requests),
        first=_score_system(names[0], outcomes[0]),
        second=_score_system(names[1], outcomes[1]),
        comparison=comparison,
        winner=names[comparison.difference < 0] if comparison.p < 0.05 else None,
        by_domain=_count_wins(requests, outcomes, lambda name: domains[name]),
        by_agent=_count_wins(requests, outcomes, str),
    )


def _score_system(name: str, outcomes: Sequence[Outcome]) -> SystemScore:
    correct, n = grade_outcomes(outcomes), len(outcomes)
    return SystemScore(
        program=name,
        top1=float(correct.mean()),
        top1_ci95=metrics.wilson(int(correct.sum()), n),
        top3=sum(o.rank is not None and o.rank <= 3 for o in outcomes) / n,
        lm_calls_per_task=sum(o.delegation.usage.lm_calls for o in outcomes) / n,
        assigned=sum(o.delegation.decision == "assign" for o in outcomes) / n,
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
