"""MLflow: store, runs, plots, traces, model registry, champion."""

from optimize.tracking.promote import promote, roll_back
from optimize.tracking.registry import Models
from optimize.tracking.spans import trace_requests
from optimize.tracking.studies import study_storage

__all__ = [
    "Models",
    "promote",
    "roll_back",
    "study_storage",
    "trace_requests",
]
