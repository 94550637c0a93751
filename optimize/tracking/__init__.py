"""MLflow: store, runs, plots, traces, model registry, champion."""

from optimize.tracking.assessments import Answers, read_answers
from optimize.tracking.evaluation import track_evaluations
from optimize.tracking.promote import promote, roll_back
from optimize.tracking.registry import Models
from optimize.tracking.rows import without_hidden
from optimize.tracking.spans import trace_requests
from optimize.tracking.spark import on_spark
from optimize.tracking.studies import MLFLOW, study_storage

__all__ = [
    "Answers",
    "MLFLOW",
    "Models",
    "on_spark",
    "promote",
    "read_answers",
    "roll_back",
    "study_storage",
    "trace_requests",
    "track_evaluations",
    "without_hidden",
]
