"""LM stages with a response cache, so that the trials of a search share answers."""

from dataclasses import asdict
from typing import Any

import dspy

from optimize.lm_stage.response_cache import ResponseCache
from task_delegator.delegation import total_tokens
from task_delegator.knobs import LMKnobs
from task_delegator.signatures import SlotAdapter
from task_delegator.stages import (
    ClassifyAgent,
    ExpandQuery,
    Shortlist,
    SlotAnswer,
    SlotDistribution,
    chosen_adapter,
    run_to_end,
)
from task_delegator.text import one_line


class OutOfCallsError(Exception):
    """The limit of LM calls is reached, and an answer is missing."""


class CachedClassify(ClassifyAgent):
    """``ClassifyAgent`` that asks every question once.

    Attributes:
        tokens: what the answers given so far cost when they were asked.

    Args:
        select: the prompt.
        answers: where answers are kept.
    """

    def __init__(self, select: dspy.Predict, answers: ResponseCache) -> None:
        super().__init__()
        self.select = select
        self.answers = answers
        self.tokens = 0

    async def aask(self, task: str, shortlist: Shortlist, knobs: LMKnobs) -> SlotAnswer:
        """Return the belief over slots in one order, and the calls it took when it was asked."""
        inputs = {"task": one_line(task), "candidates": shortlist.text()}
        signature: Any = self.select.signature
        question = {
            "lm": str(dspy.settings.lm.model),
            "messages": chosen_adapter(SlotAdapter()).format(signature, self.select.demos, inputs),
            "repeats": knobs.repeats,
            "answer": knobs.answer,
            "explain": knobs.explain,
        }

        def asked() -> dict[str, Any]:
            with dspy.track_usage() as tracker:
                said = run_to_end(super(CachedClassify, self).aask(task, shortlist, knobs))
            tokens = total_tokens(tracker)
            return {"answer": asdict(said), "tokens": tokens}

        row = _found(self.answers, "select", question, asked)
        self.tokens += row["tokens"]
        said = row["answer"]
        return SlotAnswer(**{**said, "belief": SlotDistribution(**said["belief"])})


class CachedExpand(ExpandQuery):
    """``ExpandQuery`` that asks every question once; ``tokens`` as in ``CachedClassify``."""

    def __init__(self, expand: ExpandQuery, answers: ResponseCache) -> None:
        super().__init__()
        self.rephrase, self.describe = expand.rephrase, expand.describe
        self.answers = answers
        self.tokens = 0

    async def aask(self, predict: dspy.Predict, **inputs: Any) -> Any:
        """Return the prediction, None where its answer could not be read."""
        question = {
            "lm": str(dspy.settings.lm.model),
            "prompt": predict.dump_state(),
            "inputs": inputs,
        }

        def asked() -> dict[str, Any]:
            with dspy.track_usage() as tracker:
                found = run_to_end(super(CachedExpand, self).aask(predict, **inputs))
            signature: Any = predict.signature
            fields = signature.output_fields
            answer = None if found is None else {name: found[name] for name in fields}
            return {"answer": answer, "tokens": total_tokens(tracker)}

        row = _found(self.answers, "expand", question, asked)
        self.tokens += row["tokens"]
        return None if row["answer"] is None else dspy.Prediction(**row["answer"])


def _found(
    answers: ResponseCache, stage: str, question: dict[str, Any], ask: Any
) -> dict[str, Any]:
    row = answers.get(stage, question, ask)
    if row is None:
        raise OutOfCallsError
    return row
