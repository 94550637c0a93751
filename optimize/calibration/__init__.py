"""Fit probabilities and thresholds on validation requests."""

from optimize.calibration.confidence import (
    DELTA,
    FEATURE_SETS,
    LEAST_REQUESTS,
    OUT_OF_SCOPE_SHARE,
    TARGET_PRECISION,
    Calibration,
    calibrate,
    choose_features,
    features_of,
    fit_confidence,
    seem_served,
    tell,
)
from optimize.calibration.logistic import LOOSENESS, Logistic, held_out_probabilities
from optimize.calibration.plans import PlanReport, evaluate_plans, few_for_several, fit_split
from optimize.calibration.scope import SignalsScope, signals_scope
from optimize.calibration.transfer import TransferFit, draw_registries, fit_transfer

__all__ = [
    "DELTA",
    "FEATURE_SETS",
    "LEAST_REQUESTS",
    "OUT_OF_SCOPE_SHARE",
    "TARGET_PRECISION",
    "Calibration",
    "LOOSENESS",
    "Logistic",
    "PlanReport",
    "SignalsScope",
    "TransferFit",
    "calibrate",
    "choose_features",
    "draw_registries",
    "evaluate_plans",
    "features_of",
    "few_for_several",
    "fit_confidence",
    "fit_split",
    "fit_transfer",
    "held_out_probabilities",
    "seem_served",
    "signals_scope",
    "tell",
]
