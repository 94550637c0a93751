"""LM stages: expand, classify, rate, decompose, and how prompts are written."""

from .classify import ClassifyAgent, mean_belief
from .decompose import MAX_PARTS, DecomposeTask, PartScore, best_split, split_features
from .expand import ExpandQuery
from .prompting import UnreadableError, agent_line, ask, asking, chosen_adapter, render
from .rate import RateConfidence
from .slots import SlotDistribution

__all__ = [
    "MAX_PARTS",
    "ClassifyAgent",
    "DecomposeTask",
    "ExpandQuery",
    "PartScore",
    "RateConfidence",
    "SlotDistribution",
    "UnreadableError",
    "agent_line",
    "ask",
    "asking",
    "best_split",
    "chosen_adapter",
    "mean_belief",
    "render",
    "split_features",
]
