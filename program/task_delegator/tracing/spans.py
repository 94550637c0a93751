"""Spans of a delegation: one per stage and LM call, with tokens, redacted.

A callback of our own records them. MLflow's would record headers from the LM's settings and
messages of exceptions, and lets them through where a filter of its spans fails.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from .._compat import ACTIVE_CALL_ID
from ..delegation import Delegation, token_count
from ..lm import is_embedded
from ..registry import Registry
from .redaction import redact

_ROOT = "Delegator"
_KINDS = {_ROOT: "AGENT", "Retrieve": "RETRIEVER", "Predict": "LLM"}  # MLflow's names, for icons
_FOUND = "found"  # what a delegation was spared to read: no person asked for it, stages show it
_ARGUMENTS = ("task", "permissions", _FOUND)  # of a delegation, as they stand without their names
_LM_INPUTS = ("prompt", "messages")  # of what an LM is given; the rest may hold a key or a header
_USAGE = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
}


@dataclass(frozen=True, slots=True)
class Span:
    """One call of a module or an LM, as plain JSON values.

    Attributes:
        id, parent: of the calls; a delegation's own span has no parent.
        kind: MLflow's type of the span.
        error: the type of what was raised, None where nothing was.
        started, ended: nanoseconds since 1970.
    """

    id: str
    parent: str | None
    name: str
    kind: str
    inputs: Any
    attributes: dict[str, Any]
    started: int
    outputs: Any = None
    error: str | None = None
    ended: int = 0


def by_delegation(spans: Iterable[Span]) -> list[list[Span]]:
    """Return the spans of each delegation that has no parent, in the order of their beginning.

    A plan's delegations are its steps; what it reads before them is left out.
    """
    delegations: dict[str, list[Span]] = {}
    whose: dict[str, str] = {}
    for span in spans:
        if span.parent is None and span.name == _ROOT:
            whose[span.id] = span.id
        elif span.parent in whose:
            whose[span.id] = whose[span.parent]
        else:
            continue
        delegations.setdefault(whose[span.id], []).append(span)
    return list(delegations.values())


class SpanRecorder(BaseCallback):
    """Record the calls that are made while it is one of DSPy's callbacks.

    Args:
        names: how agents are shown (``shown_names``).
        texts: keep tasks, prompts and answers as they are.
    """

    def __init__(self, names: Mapping[str, str], texts: bool = False) -> None:
        self._spans: dict[str, Span] = {}
        self._names, self._texts = names, texts
        self._claimed: Counter[str] = Counter()  # entries of DSPy's usage that a span has, by LM
        self._registries: dict[str, Registry] = {}  # of delegations at work, where texts are kept

    @property
    def spans(self) -> list[Span]:
        """The spans so far, parents before children."""
        return list(self._spans.values())

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin the span of a module."""
        name = type(instance).__name__
        args = inputs.get("args", ())
        named = _ARGUMENTS if name == _ROOT else [f"arg{i}" for i in range(len(args))]
        given = dict(zip(named, args, strict=False)) | inputs.get("kwargs", {})
        if name == _ROOT:
            given.pop(_FOUND, None)
            if self._texts:
                self._registries[call_id] = instance.registry
        self._start(call_id, name, _KINDS.get(name, "CHAIN"), given, {})

    def on_module_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        """End the span of a module; that of a delegation shows what was decided."""
        self._end(call_id, outputs, exception)
        registry = self._registries.pop(call_id, None)
        if isinstance(outputs, Delegation):
            self._decided(call_id, outputs, registry)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin the span of an LM call."""
        given = {key: inputs[key] for key in _LM_INPUTS if inputs.get(key) is not None}
        model = {"model": str(instance.model)}
        # MLflow looks prices of providers up by it, with LiteLLM, which takes seconds to load.
        if isinstance(getattr(instance, "engine", None), str) and not is_embedded(instance):
            model["mlflow.llm.model"] = model["model"]
        self._start(call_id, type(instance).__name__, "CHAT_MODEL", given, model)

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """End the span of an LM call, with the tokens that it took."""
        self._end(call_id, outputs, exception)
        span = self._spans[call_id]
        if usage := self._usage_since(str(span.attributes["model"])):
            self._note(call_id, {"mlflow.chat.tokenUsage": usage})

    def _start(
        self, call_id: str, name: str, kind: str, given: Any, attributes: dict[str, Any]
    ) -> None:
        self._spans[call_id] = Span(
            id=call_id,
            parent=ACTIVE_CALL_ID.get(),
            name=name,
            kind=kind,
            inputs=redact(given, self._names, self._texts),
            attributes=attributes,
            started=time.time_ns(),
        )

    def _end(self, call_id: str, outputs: Any, exception: BaseException | None) -> None:
        error = None if exception is None else type(exception).__name__
        ended = time.time_ns()
        outputs = redact(outputs, self._names, self._texts)
        self._spans[call_id] = replace(
            self._spans[call_id], outputs=outputs, error=error, ended=ended
        )

    def _note(self, call_id: str, attributes: dict[str, Any]) -> None:
        span = self._spans[call_id]
        self._spans[call_id] = replace(span, attributes=span.attributes | attributes)

    def _decided(self, call_id: str, found: Delegation, registry: Registry | None) -> None:
        """Show the decision, which no module takes, as the last stage of its delegation.

        All of the delegation is what that stage gives; its own span gives the gist, for lists,
        and what the best agents do where texts are kept, for whoever judges it.
        """
        whole = self._spans[call_id]
        stages = [span.ended for span in self._spans.values() if span.parent == call_id]
        scores = {"confidence": found.confidence, "in_scope_score": found.evidence.in_scope_score}
        gist = {
            "decision": found.decision,
            "agent": found.agent,
            "confidence": found.confidence,
            "top3": {one.name: one.probability for one in found.top3},
        }
        if registry is not None:
            best = {one.name for one in found.top3}
            gist["descriptions"] = {a.name: a.description for a in registry if a.name in best}
        self._spans[f"{call_id}/decide"] = Span(
            id=f"{call_id}/decide",
            parent=call_id,
            name="Decide",
            kind="CHAIN",
            inputs=scores,
            attributes={},
            started=max(stages, default=whole.started),
            outputs=whole.outputs,
            ended=whole.ended,
        )
        self._spans[call_id] = replace(whole, outputs=redact(gist, self._names, self._texts))
        self._note(
            call_id,
            scores
            | {
                "decision": found.decision,
                "lm_calls": found.usage.lm_calls,
                "tokens": found.usage.tokens,
            },
        )

    def _usage_since(self, model: str) -> dict[str, int]:
        """Return the tokens of an LM that no span has yet: those of the call that ends."""
        tracker = dspy.settings.usage_tracker
        if tracker is None:
            return {}
        entries = list(tracker.usage_data.get(model, ()))
        new = entries[self._claimed[model] :]
        self._claimed[model] = len(entries)
        return {
            shown: sum(token_count(entry.get(part)) for entry in new)
            for shown, part in _USAGE.items()
            if new
        }
