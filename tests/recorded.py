"""An engine for ``dspy.LM`` that answers from a table instead of a model.

A question that the table does not hold fails the test.
"""

import dspy
from dspy.lm15 import Message, Request, Response, Usage


class RecordedEngine:
    """Answer with what a function makes of the last user message; count the calls."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.prompts: list[str] = []

    def complete(self, request: Request) -> Response:
        prompt = "\n".join(str(getattr(m, "text", m)) for m in request.messages)
        self.prompts.append(prompt)
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
