"""Find retrieval's weights and k: scored requests, fits, Optuna studies."""

from optimize.search.fit import HEAD_C, LEAN, fit_weights
from optimize.search.retrieval import Trial, measure, search
from optimize.search.scored import ScoredRequests
from optimize.search.study import StudyLocation, finish, open_study, pruned, wilcoxon

__all__ = [
    "HEAD_C",
    "LEAN",
    "StudyLocation",
    "ScoredRequests",
    "Trial",
    "finish",
    "fit_weights",
    "measure",
    "open_study",
    "pruned",
    "search",
    "wilcoxon",
]
