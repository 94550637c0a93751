"""What a program's probabilities are fitted to: whether an agent fits, and the agents' samples."""

from .coverage import ENOUGH_AGENTS, CalibratedAgents
from .logistic import fit_logistic, spreads
from .observe import Observed, observe, observe_missing
from .samples import (
    LEAST_AGENTS,
    LEAST_SAMPLES,
    SelfCalibration,
    as_without_lm,
    calibrate_on_samples,
    kept_calibration,
)
from .scope import SHARE, ScopeFit, fit_scope, held_out_odds

__all__ = [
    "ENOUGH_AGENTS",
    "LEAST_AGENTS",
    "LEAST_SAMPLES",
    "SHARE",
    "CalibratedAgents",
    "Observed",
    "ScopeFit",
    "SelfCalibration",
    "as_without_lm",
    "calibrate_on_samples",
    "fit_logistic",
    "fit_scope",
    "held_out_odds",
    "kept_calibration",
    "observe",
    "observe_missing",
    "spreads",
]
