"""Search retrieval's weights and k: scored requests, fits, Optuna studies."""

from optimize.search.fit import HEAD_C, LEAN, fit_weights
from optimize.search.rerank import RerankChoice, choose_rerank
from optimize.search.retrieval import Trial, measure, search
from optimize.search.scored import ScoredRequests
from optimize.search.study import (
    Objective,
    Spread,
    StudyLocation,
    keep_table,
    open_study,
    run_trials,
    trial_pruned,
    wilcoxon_pruner,
)

__all__ = [
    "HEAD_C",
    "LEAN",
    "Objective",
    "RerankChoice",
    "ScoredRequests",
    "Spread",
    "StudyLocation",
    "Trial",
    "choose_rerank",
    "fit_weights",
    "keep_table",
    "measure",
    "open_study",
    "run_trials",
    "search",
    "trial_pruned",
    "wilcoxon_pruner",
]
