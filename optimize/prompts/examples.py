"""Labeled requests as DSPy examples, and the metric and feedback of optimizers."""

import random
from collections.abc import Sequence
from typing import Any

import dspy

from optimize.data import Request
from task_delegator.consultation import lm_shortlist
from task_delegator.delegator import Delegator
from task_delegator.registry import Registry
from task_delegator.retrieval import IndexCache
from task_delegator.signatures import SLOTS
from task_delegator.text import one_line


def examples(program: Delegator, requests: Sequence[Request], seed: int) -> list[dspy.Example]:
    """Return an example per request with an acceptable agent on the shortlist, in random order.

    Half of the shortlists are reversed, since the LM is asked in both orders. Demos are part of
    every caller's prompt, so they show only agents that need no permission.
    """
    free = [agent for agent in program.registry if not agent.required_permissions]
    if not free:
        return []
    retriever = program.retrieve.deepcopy()
    retriever.library = IndexCache(Registry(free), program.retrieve.library.embed)
    knobs = program.knobs.values.replaced({"lm.ask_settled": True})  # candidates for the LM
    rng = random.Random(seed)
    found = []
    for request in rng.sample(list(requests), len(requests)):
        retrieval = retriever(task=request.text, knobs=knobs)
        assert retrieval.query is not None  # somebody is permitted
        shortlist = lm_shortlist(retrieval, retrieval.query, knobs.lm)
        if rng.random() < 0.5:
            shortlist = shortlist.in_reverse()
        shown = enumerate(shortlist.agents)
        places = [place for place, agent in shown if agent.name in request.acceptable]
        if places:
            example = dspy.Example(
                task=one_line(retrieval.query.shown),
                candidates=shortlist.text(),
                slot=SLOTS[places[0]],
                acceptable=[SLOTS[place] for place in places],
            )
            found.append(example.with_inputs("task", "candidates"))
    return found


def right_slot(example: dspy.Example, prediction: Any, trace: Any = None) -> bool:
    """Return whether an acceptable slot was answered."""
    return prediction.slot in example.acceptable


def slot_feedback(
    example: dspy.Example,
    prediction: Any,
    trace: Any = None,
    pred_name: str | None = None,
    pred_trace: Any = None,
) -> dspy.Prediction:
    """Return the score and, for GEPA, the confused pair with what each agent says of itself."""
    right = right_slot(example, prediction)
    lines = dict(line.split(") ", 1) for line in example.candidates.splitlines())
    expected = lines[example.slot]
    if right:
        text = f"Right: {example.slot} is the agent for this task."
    elif prediction.slot not in lines:
        text = f"Answered {prediction.slot}, which is no agent here. Right: {expected}"
    else:
        text = f"Confused. Answered: {lines[prediction.slot]}. Right: {expected}"
    return dspy.Prediction(score=float(right), feedback=text)
