"""Evaluate a program on one split of a dataset."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy
import numpy as np

from optimize.data import Dataset, Request
from optimize.evaluation import metrics, stated
from optimize.evaluation.assigned import assigned_at_share
from optimize.evaluation.baselines import bm25_baseline
from optimize.evaluation.outcomes import (
    Outcome,
    delegate_all,
    delegate_texts,
    grade_outcomes,
    select,
    select_requests,
)
from optimize.evaluation.report import Report
from optimize.evaluation.stated import Stated
from optimize.provenance import commit
from task_delegator.decision import Target
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator
from task_delegator.embedders import forgetting

_TIMED = 100  # requests whose latency is measured, where the others are delegated together


def evaluate(program: Delegator, dataset: Dataset, split: str, **settings: Any) -> Report:
    """Return the report of a program on a split; see ``evaluate_all``."""
    return evaluate_requests(program, dataset, split, **settings)[0]


def evaluate_requests(
    program: Delegator, dataset: Dataset, split: str, **settings: Any
) -> tuple[Report, list[Outcome]]:
    """Return the report of a program on a split, and its answer to each request in scope."""
    found = evaluate_all(program, dataset, split, **settings)
    return found.report, found.outcomes


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation with every answer.

    Attributes:
        report: of the program on the split.
        outcomes: of the requests in scope.
        outside: requests out of scope with their delegations.
    """

    report: Report
    outcomes: list[Outcome]
    outside: list[tuple[str, Delegation]]


def evaluate_all(
    program: Delegator,
    dataset: Dataset,
    split: str,
    *,
    name: str,
    lm: dspy.BaseLM | None = None,
    limit: int | None = None,
    seed: int = 0,
    out_of_scope_share: float = Target().out_of_scope_share,
    mixed: bool = False,
) -> Evaluated:
    """Return the report of a program on a split, and its answer to each request.

    Requests out of scope are delegated with the same LM as those in scope.

    Args:
        program: the program; its registry must be the dataset's.
        name: of the program in the report.
        lm: the LM to ask, in scope and out of scope, or None for retrieval alone.
        limit: evaluate a fixed random subset of at most this size, in scope and out of scope.
        seed: of the subsets, the bootstrap and the drawn precisions.
        out_of_scope_share: of the traffic that the precision of everything assigned is stated at.
        mixed: let the program's ``max_lm_share`` hold of all requests together, not of those in
            scope and of those out of scope.

    Raises:
        InputError: the split is empty.
    """
    requests = select_requests(dataset, split, limit, seed)
    outside = select(dataset.out_of_scope[split], limit, seed)
    with dspy.context(lm=lm), forgetting(program.retrieve.library.embed):
        outcomes, outside_delegations = _delegated(program, requests, outside, split, mixed)
        singly = outcomes
        if not program.may_ask_lm():  # they were delegated together
            timed = select(requests, _TIMED, seed)
            singly = delegate_all(program, timed, "latency", one_by_one=True)
    inside = [outcome.delegation for outcome in outcomes]
    knobs = program.knobs.values
    told = stated.state(inside, grade_outcomes(outcomes), outside_delegations, knobs)
    report = Report(
        program=name,
        data=str(dataset.path),
        split=split,
        seed=seed,
        lm=None if lm is None else str(lm.model),
        embedder=program.retrieve.library.embed.id,
        reranker=program.retrieve.rerank.id if knobs.retrieval.rerank else None,
        commit=commit(),
        k=knobs.retrieval.k,
        **_scores(outcomes, knobs.retrieval.k),
        **_confidence(outcomes, told, seed),
        **_scope(outcomes, outside_delegations),
        **_all_assigned(outcomes, outside_delegations),
        **assigned_at_share(outcomes, outside_delegations, out_of_scope_share, seed),
        **_cost(outcomes, singly),
        **bm25_baseline(program, dataset, outcomes, seed),
        versus_no_lm=_versus_no_lm(program, outcomes, seed) if lm is not None else None,
    )
    return Evaluated(report, outcomes, list(zip(outside, outside_delegations, strict=True)))


def _delegated(
    program: Delegator, requests: list[Request], outside: list[str], split: str, mixed: bool
) -> tuple[list[Outcome], list[Delegation]]:
    """Return the outcomes of the requests in scope, and the delegations of those out of scope."""
    if not mixed:
        outcomes = delegate_all(program, requests, split)
        return outcomes, delegate_texts(program, outside, "out of scope")
    number = len(requests)
    found = delegate_texts(program, [*(request.text for request in requests), *outside], split)
    return list(map(Outcome, requests, found[:number])), found[number:]


def _scores(outcomes: Sequence[Outcome], k: int) -> dict[str, Any]:
    ranks = [outcome.rank for outcome in outcomes]
    n = len(ranks)

    def within(place: int) -> int:
        return sum(rank is not None and rank <= place for rank in ranks)

    return {
        "n": n,
        "top1": within(1) / n,
        "top1_ci95": metrics.wilson(within(1), n),
        "top3": within(3) / n,
        "top3_ci95": metrics.wilson(within(3), n),
        "recall_at_k": within(k) / n,
        "mrr": metrics.mean_reciprocal_rank(ranks),
    }


def _confidence(outcomes: Sequence[Outcome], told: Stated, seed: int) -> dict[str, Any]:
    confidences = np.array([outcome.confidence for outcome in outcomes])
    correct = grade_outcomes(outcomes)
    assigned = np.array([outcome.delegation.decision == "assign" for outcome in outcomes])
    n, correct_n = int(assigned.sum()), int((assigned & correct).sum())
    return {
        "ece": stated.calibration_error(told),
        "ece_calibrated_range": stated.calibrated_error_range(told, seed=seed),
        "brier": stated.brier(told),
        "auroc_error": metrics.auroc(confidences, correct),
        "aurc": metrics.aurc(confidences, correct),
        "accuracy_at_coverage_80": metrics.accuracy_at_coverage(confidences, correct, 0.8),
        "precision_assigned": correct_n / n if n else None,
        "precision_assigned_ci95": metrics.wilson(correct_n, n) if n else None,
    }


def _scope(outcomes: Sequence[Outcome], outside: Sequence[Delegation]) -> dict[str, Any]:
    """Return how well requests in scope are separated from those out of scope."""
    inside = [outcome.delegation for outcome in outcomes]
    fits = np.array([d.evidence.in_scope_score for d in (*inside, *outside)])
    in_scope = np.array([True] * len(inside) + [False] * len(outside))
    return {
        "n_out_of_scope": len(outside),
        "oos_auroc": metrics.auroc(fits, in_scope),
        "oos_90": metrics.accuracy_at_rejection_rate(
            fits[in_scope], grade_outcomes(outcomes), fits[~in_scope], 0.9
        ),
        "oos_fpr95": metrics.false_positive_rate(fits[in_scope], fits[~in_scope], 0.95),
        "decisions": _decisions(inside),
        "decisions_out_of_scope": _decisions(outside),
        "lm_calls_out_of_scope": sum(d.usage.lm_calls for d in outside),
    }


def _all_assigned(outcomes: Sequence[Outcome], outside: Sequence[Delegation]) -> dict[str, Any]:
    """Return how many of all assigned requests, out of scope included, were assigned rightly."""
    inside = [outcome for outcome in outcomes if outcome.delegation.decision == "assign"]
    good = sum(outcome.correct for outcome in inside)
    n = len(inside) + sum(delegation.decision == "assign" for delegation in outside)
    return {
        "n_all_assigned": n,
        "precision_all_assigned": good / n if n else None,
        "precision_all_assigned_ci95": metrics.wilson(good, n) if n else None,
    }


def _decisions(delegations: Iterable[Delegation]) -> dict[str, int]:
    counts = Counter(delegation.decision for delegation in delegations)
    return {decision: counts[decision] for decision in ("assign", "review", "none")}


def _cost(outcomes: Sequence[Outcome], singly: Sequence[Outcome]) -> dict[str, Any]:
    """Return calls and tokens of all, and the latency of those that were delegated in turn."""
    usages = [outcome.delegation.usage for outcome in outcomes]
    milliseconds = np.array([outcome.delegation.usage.seconds for outcome in singly]) * 1000
    return {
        "lm_calls": sum(usage.lm_calls for usage in usages),
        "lm_share": sum(usage.lm_calls > 0 for usage in usages) / len(usages),
        "lm_calls_per_task": sum(usage.lm_calls for usage in usages) / len(usages),
        "tokens_per_task": sum(usage.tokens for usage in usages) / len(usages),
        "latency_ms": {
            "p50": float(np.quantile(milliseconds, 0.5)),
            "p95": float(np.quantile(milliseconds, 0.95)),
        },
        "slot_flip_rate": slot_flip_rate(outcomes),
    }


def slot_flip_rate(outcomes: Sequence[Outcome]) -> float | None:
    """Return how often the LM's pick changes when the shortlist is reversed, None if unasked."""
    asked = [outcome.delegation.evidence.lm for outcome in outcomes]
    picks = [[a.picked for a in lm.answers] for lm in asked if lm and len(lm.answers) == 2]
    return sum(first != second for first, second in picks) / len(picks) if picks else None


def _versus_no_lm(program: Delegator, outcomes: Sequence[Outcome], seed: int) -> dict[str, Any]:
    with dspy.context(lm=None):
        without = delegate_all(program, [outcome.request for outcome in outcomes], "without LM")
    comparison = metrics.compare(grade_outcomes(outcomes), grade_outcomes(without), seed=seed)
    return asdict(comparison)
