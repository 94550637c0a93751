"""An engine for ``dspy.LM`` that answers from a table instead of a model.

A question that the table does not hold fails the test.
"""

import dspy
from dspy.lm15 import Message, Request, Response, Usage

from task_delegator.delegation import Delegation, LMEvidence
from task_delegator.signatures import CONTENT_FREE


class RecordedEngine:
    """Answer with what a function makes of the last user message; count the calls."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.prompts: list[str] = []
        self.requests: list[Request] = []

    def __deepcopy__(self, memo) -> "RecordedEngine":
        return self  # copies of an LM count together

    def complete(self, request: Request) -> Response:
        prompt = "\n".join(str(getattr(m, "text", m)) for m in request.messages)
        self.prompts.append(prompt)
        self.requests.append(request)
        text = self.answer(prompt)
        return Response(
            id="recorded",
            model=request.model,
            message=Message.assistant(text),
            finish_reason="stop",
            usage=Usage(input_tokens=10, output_tokens=2, total_tokens=12),
        )


def recorded_lm(answer) -> tuple[dspy.LM, RecordedEngine]:
    engine = RecordedEngine(answer)
    return dspy.LM("recorded/model", engine=engine, cache=False), engine


def said_by_lm(delegation: Delegation) -> LMEvidence:
    """Return what the LM said, which it must have been asked."""
    assert delegation.evidence.lm is not None
    return delegation.evidence.lm


def slot_of(name):
    """Answer with the slot that a name stands at in the prompt, as an unbiased LM would."""

    def answer(prompt):
        for line in prompt.splitlines():
            if line[1:].startswith(f") {name}"):
                return f'{{"slot": "{line[0]}"}}'
        return '{"slot": "Z"}'

    return answer


def oracle(dataset):
    """Answer with the right agent's slot, whatever the order, and Z out of scope."""
    labels = {text: None for split in dataset.out_of_scope.values() for text in split}
    labels |= {r.text: r.expected for split in dataset.splits.values() for r in split}

    def answer(prompt):
        task = prompt.split("[[ ## task ## ]]")[-1].split("[[ ## candidates ## ]]")[0].strip()
        if "[[ ## rivals ## ]]" in prompt:
            return '{"reasoning": "as good as any", "rubric": 3}'
        if task == CONTENT_FREE:
            return '{"slot": "Z"}'
        expected = next(label for text, label in labels.items() if " ".join(text.split()) == task)
        lines = prompt.split("[[ ## candidates ## ]]")[-1].splitlines()
        slots = [line[0] for line in lines if line[1:].startswith(f") {expected}")]
        return f'{{"slot": "{slots[0] if slots else "Z"}"}}'

    return answer


def until_it_dies(answer, calls):
    """Answer so many calls, then be a provider that is away."""
    left = [calls]

    def once(prompt):
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionError("the provider is away")
        return answer(prompt)

    return once
