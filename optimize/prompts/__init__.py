"""Run DSPy optimizers on the prompt of the LM's choice, within a call budget."""

from optimize.prompts.candidates import PromptCandidate
from optimize.prompts.examples import examples, right_slot, slot_feedback
from optimize.prompts.optimizers import OPTIMIZERS, optimize
from optimize.prompts.student import OptimizerInputs, SelectSlot

__all__ = [
    "OPTIMIZERS",
    "OptimizerInputs",
    "PromptCandidate",
    "SelectSlot",
    "examples",
    "optimize",
    "right_slot",
    "slot_feedback",
]
