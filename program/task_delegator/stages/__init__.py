"""LM stages: expand, classify, rate, decompose, and how prompts are written."""

from .cards import Card, Shortlist, agent_line, estimate_tokens
from .classify import Classification, ClassifyAgent, SlotAnswer, mean_belief
from .coroutines import call_module, compute_off_loop, run_to_end
from .decompose import (
    MAX_PARTS,
    Cut,
    DecomposeTask,
    Decomposition,
    PartScore,
    best_split,
    guess_several,
    guessed_cuts,
    guessed_parts,
    looked_at,
    seems_several,
    split_features,
)
from .expand import ExpandQuery, Expansion
from .follow_up import FITS_ALONE, refers_back, with_earlier
from .prompting import UnreadableError, ask, asking, chosen_adapter
from .rate import RateConfidence
from .slots import SlotDistribution

__all__ = [
    "FITS_ALONE",
    "MAX_PARTS",
    "Card",
    "Classification",
    "ClassifyAgent",
    "Cut",
    "DecomposeTask",
    "Decomposition",
    "ExpandQuery",
    "Expansion",
    "PartScore",
    "RateConfidence",
    "Shortlist",
    "SlotAnswer",
    "SlotDistribution",
    "UnreadableError",
    "agent_line",
    "ask",
    "asking",
    "best_split",
    "call_module",
    "chosen_adapter",
    "compute_off_loop",
    "estimate_tokens",
    "guess_several",
    "guessed_cuts",
    "guessed_parts",
    "looked_at",
    "mean_belief",
    "refers_back",
    "run_to_end",
    "seems_several",
    "split_features",
    "with_earlier",
]
