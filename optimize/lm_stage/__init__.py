"""Fit what the LM's answers count for, with every answer recorded."""

from optimize.lm_stage.budget import plan_calls
from optimize.lm_stage.cached_stages import CachedClassify, CachedExpand, OutOfCallsError
from optimize.lm_stage.fit import LMStage, LMStageConfig, LMStageResult, fit_lm_stage
from optimize.lm_stage.gate import choose_gate
from optimize.lm_stage.response_cache import CachedPredict, ResponseCache
from optimize.lm_stage.variants import ask, opened
from optimize.lm_stage.weight import (
    belief_of,
    fit_weight,
    gain_curve,
    pooled,
    said_by_lm,
)

__all__ = [
    "CachedClassify",
    "CachedExpand",
    "CachedPredict",
    "LMStage",
    "LMStageConfig",
    "LMStageResult",
    "OutOfCallsError",
    "ResponseCache",
    "ask",
    "belief_of",
    "choose_gate",
    "fit_lm_stage",
    "fit_weight",
    "gain_curve",
    "opened",
    "plan_calls",
    "pooled",
    "said_by_lm",
]
