"""Fit what the LM's answers count for, with every answer recorded."""

from optimize.lm_stage.budget import plan_calls
from optimize.lm_stage.cached_stages import CachedClassify, CachedExpand, OutOfCallsError
from optimize.lm_stage.confidence import rubric_gain
from optimize.lm_stage.fit import LMStageResult, PromptConfig, opened, teach
from optimize.lm_stage.response_cache import CachedPredict, ResponseCache
from optimize.lm_stage.weight import (
    belief_of,
    cross_validated_gain,
    fit_weight,
    gain_curve,
    pooled,
    said_by_lm,
)

__all__ = [
    "CachedClassify",
    "CachedExpand",
    "CachedPredict",
    "LMStageResult",
    "OutOfCallsError",
    "PromptConfig",
    "ResponseCache",
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
