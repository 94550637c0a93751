"""From evidence to a decision: pooling, calibrated confidence, thresholds."""

from .confidence import (
    AssessConfidence,
    Assessment,
    assemble,
    confidence_of,
    correct_probability,
    in_scope_features,
    in_scope_probability,
    sigmoid,
)
from .decide import asks_lm, decide, decision_certainty, settled_by
from .pooling import weigh
from .thresholds import OperatingPoint, choose_threshold

__all__ = [
    "AssessConfidence",
    "Assessment",
    "OperatingPoint",
    "asks_lm",
    "assemble",
    "choose_threshold",
    "confidence_of",
    "correct_probability",
    "decide",
    "decision_certainty",
    "in_scope_features",
    "in_scope_probability",
    "settled_by",
    "sigmoid",
    "weigh",
]
