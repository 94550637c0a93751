"""Fit what the LM's answers count for, with every answer recorded."""

from optimize.lm_stage.cached_stages import CachedClassify, CachedExpand, OutOfCallsError
from optimize.lm_stage.fit import (
    LMStageResult,
    PromptConfig,
    opened,
    plan_calls,
    rubric_gain,
    teach,
)
from optimize.lm_stage.response_cache import CachedPredict, ResponseCache
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
    "ResponseCache",
    "CachedPredict",
    "LMStageResult",
    "OutOfCallsError",
    "CachedClassify",
    "CachedExpand",
    "PromptConfig",
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
