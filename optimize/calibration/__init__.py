"""Fit probabilities and thresholds on validation requests."""

from optimize.calibration.confidence import (
    FEATURE_SETS,
    LEAST_REQUESTS,
    TARGET_PRECISION,
    Calibration,
    calibrate,
    features_of,
    fit_confidence,
)
from optimize.calibration.plans import PlanReport, evaluate_plans, fit_split

__all__ = [
    "FEATURE_SETS",
    "LEAST_REQUESTS",
    "TARGET_PRECISION",
    "Calibration",
    "PlanReport",
    "calibrate",
    "evaluate_plans",
    "features_of",
    "fit_split",
    "fit_confidence",
]
