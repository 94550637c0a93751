"""Shortlists whose beliefs an adapter's manifest keeps, asked of the served LM."""

import dspy

from task_delegator.signatures import NONE_SLOT, SLOTS, SelectAgent, SlotAdapter
from task_delegator.stages.slots import slot_distribution


def served(lm, probe) -> list[float]:
    """Return the served LM's belief over the slots of a probe, the none-slot last."""
    shown = {"task": probe["task"], "candidates": probe["candidates"]}
    with dspy.context(lm=lm, adapter=SlotAdapter()):
        answer = dspy.Predict(SelectAgent)(**shown)
    slots = (*SLOTS[: len(probe["belief"]) - 1], NONE_SLOT)
    belief = slot_distribution(answer.slot, answer.logprobs, "slot", slots)
    assert belief.source == "logprobs"
    return list(belief.probabilities.values())
