"""Evaluate programs: outcomes, metrics, baselines, comparisons, drift."""

from optimize.evaluation.assigned import assigned_at_share
from optimize.evaluation.baselines import BM25_B, BM25_K1, CHOSEN_ON, choose_bm25, grade_bm25
from optimize.evaluation.better import Verdict, compare_losses, judge
from optimize.evaluation.compare import (
    PairedComparison,
    answer_all,
    answer_outside,
    compare_outcomes,
    compare_programs,
    differing_lines,
)
from optimize.evaluation.drift import drift
from optimize.evaluation.evaluate import Evaluated, evaluate, evaluate_all, evaluate_requests
from optimize.evaluation.metrics import auroc, reliability
from optimize.evaluation.outcomes import (
    Outcome,
    delegate_all,
    delegate_measured,
    delegate_texts,
    grade_outcomes,
    plan_measured,
    select,
)
from optimize.evaluation.report import Report

__all__ = [
    "BM25_B",
    "BM25_K1",
    "CHOSEN_ON",
    "Evaluated",
    "Outcome",
    "PairedComparison",
    "Report",
    "Verdict",
    "answer_all",
    "answer_outside",
    "assigned_at_share",
    "auroc",
    "choose_bm25",
    "compare_losses",
    "compare_programs",
    "delegate_all",
    "delegate_measured",
    "delegate_texts",
    "differing_lines",
    "drift",
    "evaluate",
    "evaluate_all",
    "evaluate_requests",
    "grade_bm25",
    "grade_outcomes",
    "judge",
    "plan_measured",
    "reliability",
    "select",
    "compare_outcomes",
]
