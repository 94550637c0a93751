"""Fit what the LM's answers count for, with every answer recorded."""

from optimize.lm_stage.cached_stages import OutOfCallsError, Recalled, RecalledExpansion
from optimize.lm_stage.fit import Lesson, Way, opened, plan_calls, rubric_gain, teach
from optimize.lm_stage.response_cache import Answers, Asked
from optimize.lm_stage.weight import (
    ALWAYS_CLOSE,
    belief_of,
    cross_validated_gain,
    fit_weight,
    gain_curve,
    pooled,
    said_by_lm,
)

__all__ = [
    "ALWAYS_CLOSE",
    "Answers",
    "Asked",
    "Lesson",
    "OutOfCallsError",
    "Recalled",
    "RecalledExpansion",
    "Way",
    "belief_of",
    "cross_validated_gain",
    "fit_weight",
    "gain_curve",
    "opened",
    "plan_calls",
    "pooled",
    "rubric_gain",
    "said_by_lm",
    "teach",
]
