"""How well a program does: outcomes, metrics, baselines, comparisons, drift."""

from optimize.evaluation.baselines import BM25_B, BM25_K1, CHOSEN_ON, bm25_right, choose_bm25
from optimize.evaluation.compare import PairedComparison, versus
from optimize.evaluation.drift import drift
from optimize.evaluation.evaluate import evaluate, evaluate_requests
from optimize.evaluation.metrics import auroc, reliability
from optimize.evaluation.outcomes import Outcome, delegate_all, outcomes_right, select
from optimize.evaluation.report import Report

__all__ = [
    "BM25_B",
    "BM25_K1",
    "CHOSEN_ON",
    "Outcome",
    "Report",
    "PairedComparison",
    "auroc",
    "bm25_right",
    "choose_bm25",
    "delegate_all",
    "drift",
    "evaluate",
    "evaluate_requests",
    "outcomes_right",
    "reliability",
    "select",
    "versus",
]
