"""Trace delegations of requests: spans of every stage and LM call, redacted."""

from collections.abc import Iterable

import dspy

from optimize.data import Request
from optimize.evaluation import delegate_all
from task_delegator.delegator import Delegator
from task_delegator.tracing import Span, SpanRecorder, shown_names


def trace_requests(
    program: Delegator, requests: Iterable[Request], lm: dspy.BaseLM | None, *, texts: bool = False
) -> list[Span]:
    """Delegate requests and return their spans, parents before children.

    Args:
        texts: keep tasks, prompts and answers as they are.
    """
    recorder = SpanRecorder(shown_names(program.registry), texts)
    callbacks = [*dspy.settings.get("callbacks", []), recorder]
    with dspy.context(lm=lm, callbacks=callbacks):
        delegate_all(program, requests, "trace")
    return recorder.spans
