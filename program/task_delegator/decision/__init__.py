"""From evidence to a decision: pooling, confidence, thresholds, whether the LM may be asked."""

from .certify import Counts, lower_bound, p_value
from .confidence import (
    UNASKED,
    AssessConfidence,
    Assessment,
    LMAnswers,
    above_floor,
    assemble,
    assess_confidence,
    at_even_odds,
    confidence_of,
    correct_probability,
    in_scope_features,
    in_scope_probability,
    sigmoid,
)
from .coverage import Coverage
from .decide import Doubts, asks_lm, decide, decision_certainty, settled_by
from .lm_share import LMShareCap, LMVerdict, allowed_by_share, least_certain, lm_decided
from .pooling import weigh
from .probability import CONFIDENCE_FLOOR, PROBABILITY_FLOOR
from .thresholds import OperatingPoint, Sample, Target, choose_threshold, estimate_threshold
from .transfer import (
    probabilities_of_lm,
    transfer_features,
    transferred,
    transfers,
)

__all__ = [
    "CONFIDENCE_FLOOR",
    "PROBABILITY_FLOOR",
    "UNASKED",
    "AssessConfidence",
    "Assessment",
    "Counts",
    "Coverage",
    "Doubts",
    "LMAnswers",
    "LMShareCap",
    "LMVerdict",
    "OperatingPoint",
    "Sample",
    "Target",
    "above_floor",
    "allowed_by_share",
    "asks_lm",
    "assemble",
    "assess_confidence",
    "at_even_odds",
    "choose_threshold",
    "confidence_of",
    "correct_probability",
    "decide",
    "decision_certainty",
    "estimate_threshold",
    "in_scope_features",
    "in_scope_probability",
    "least_certain",
    "lm_decided",
    "lower_bound",
    "p_value",
    "probabilities_of_lm",
    "settled_by",
    "sigmoid",
    "transfer_features",
    "transferred",
    "transfers",
    "weigh",
]
