"""From evidence to a decision: pooling, calibrated confidence, thresholds."""

from .confidence import (
    FITS,
    SURE,
    SURE_LM,
    AssessConfidence,
    Assessment,
    assemble,
    log_odds,
    probabilities,
    sigmoid,
    table,
)
from .decide import decide, settled_by
from .pooling import weigh
from .thresholds import OperatingPoint, choose_threshold

__all__ = [
    "FITS",
    "SURE",
    "SURE_LM",
    "AssessConfidence",
    "Assessment",
    "OperatingPoint",
    "assemble",
    "choose_threshold",
    "decide",
    "log_odds",
    "probabilities",
    "settled_by",
    "sigmoid",
    "table",
    "weigh",
]
