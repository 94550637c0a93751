"""LMStageConfig: what the LM stage may spend, and what it aims at."""

from dataclasses import dataclass

import dspy

from optimize.config import ASK_SHARE, PRESETS
from task_delegator.decision import Target
from task_delegator.stages import Card


@dataclass(frozen=True, slots=True)
class LMStageConfig:
    """What the LM stage may do and spend.

    Attributes:
        max_lm_calls: in all.
        optimizer: of the prompt; None leaves it as it is.
        teacher: the LM that writes instructions and demos; None for the program's.
        ask_share: share of the tasks in scope that the LM is asked about at most, above 0.
        target_precision: of everything that is assigned.
        out_of_scope_share: of the traffic that this precision is for.
        delta: probability of missing it that is accepted.
        cards, most_shown: what it is shown, as in ``Preset``.
    """

    max_lm_calls: int
    optimizer: str | None = "bootstrap"
    teacher: dspy.BaseLM | None = None
    ask_share: float = ASK_SHARE
    target_precision: float = Target().precision
    out_of_scope_share: float = Target().out_of_scope_share
    delta: float = Target().delta
    cards: tuple[Card, ...] = PRESETS["full"].cards
    most_shown: int = PRESETS["full"].most_shown
    seed: int = 0

    @property
    def target(self) -> Target:
        """What the precision of everything that is assigned shall be."""
        return Target(self.target_precision, self.out_of_scope_share, self.delta)
