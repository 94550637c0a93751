"""Knobs: every number of a compiled program, in groups, with types and ranges."""

from .group import KnobGroup
from .parameters import Knobs, LearnedSamples
from .probabilities import (
    ConfidenceKnobs,
    CorrectWeights,
    CorrectWithLMWeights,
    InScopeWeights,
    InScopeWithLMWeights,
    LogisticKnobs,
    ScopeKnobs,
    SeveralWeights,
    SplitKnobs,
    TransferKnobs,
    TransferWeights,
)
from .stages import MOST_PASSAGES, ExpansionKnobs, LMKnobs, RetrievalKnobs
from .values import KnobValues, Thresholds

__all__ = [
    "MOST_PASSAGES",
    "ConfidenceKnobs",
    "CorrectWeights",
    "CorrectWithLMWeights",
    "ExpansionKnobs",
    "InScopeWeights",
    "InScopeWithLMWeights",
    "KnobGroup",
    "KnobValues",
    "Knobs",
    "LMKnobs",
    "LearnedSamples",
    "LogisticKnobs",
    "RetrievalKnobs",
    "ScopeKnobs",
    "SeveralWeights",
    "SplitKnobs",
    "Thresholds",
    "TransferKnobs",
    "TransferWeights",
]
