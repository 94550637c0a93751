"""Inputs of DSPy optimizers, and the student module whose prompt they write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from task_delegator.signatures import SlotAdapter
from task_delegator.stages import ask


@dataclass(frozen=True, slots=True)
class OptimizerInputs:
    """What an optimizer is given.

    Attributes:
        calls: LM calls that it may make, the teacher's included.
        trainset, valset: examples with ``task``, ``candidates`` and ``slot``.
        metric: whether the slot is acceptable.
        feedback: the metric in GEPA's form, with a text about the confused agents.
        teacher: the LM that writes instructions and demos; it may be the student's.
    """

    calls: int
    trainset: Sequence[dspy.Example]
    valset: Sequence[dspy.Example]
    metric: Callable[..., float]
    feedback: Callable[..., dspy.Prediction]
    teacher: Any
    seed: int

    @property
    def settings(self) -> dict[str, Any]:
        """Return what bootstrapping optimizers take for their teacher."""
        return {"teacher_settings": {"lm": self.teacher}}


class SelectSlot(dspy.Module):
    """The student: ``ClassifyAgent``'s predictor over a shortlist that is given.

    An answer without a slot is a wrong answer; an LM that cannot be reached is none.
    """

    def __init__(self, select: dspy.Predict) -> None:
        super().__init__()
        self.select = select

    def forward(self, task: str, candidates: str) -> dspy.Prediction:
        """Return the slot that the LM answers, None where it answers no slot."""
        answer = ask(self.select, SlotAdapter(), task=task, candidates=candidates)
        return dspy.Prediction(slot=None if answer is None else answer.slot)
