"""Trace delegations: spans of every DSPy module and LM call, redacted.

A callback of our own records them. MLflow's would record headers from the LM's settings and
messages of exceptions, and lets them through where a filter of its spans fails. Here a value is
shown only if its kind is harmless: numbers, names of agents, decisions, slots. Other strings are
replaced by their length, unless texts are wanted; other objects by their type.
"""

import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, get_args

import dspy
from dspy.utils.callback import BaseCallback

from optimize._compat import active_call
from optimize.data import Request
from optimize.evaluation import delegate_all
from task_delegator.delegation import Decision
from task_delegator.delegator import Delegator
from task_delegator.registry import Agent
from task_delegator.signatures import NONE_SLOT, SLOTS

_KINDS = {"Retrieve": "RETRIEVER", "Predict": "LLM"}  # MLflow's names, for its icons
_MOST_SHOWN = 20  # of a sequence or mapping: a registry may have thousands of agents
_LM_INPUTS = ("prompt", "messages")  # of what an LM is given; the rest may hold a key or a header


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


def trace_requests(
    program: Delegator, requests: Iterable[Request], lm: dspy.BaseLM | None, *, texts: bool = False
) -> list[Span]:
    """Delegate requests and return their spans, parents before children.

    Args:
        texts: keep tasks, prompts and answers as they are.
    """
    names = {agent.name for agent in program.registry}
    recorder = _Recorder(names | {*get_args(Decision), *SLOTS, NONE_SLOT}, texts)
    callbacks = [*dspy.settings.get("callbacks", []), recorder]
    with dspy.context(lm=lm, callbacks=callbacks):
        delegate_all(program, requests, "trace")
    return list(recorder.spans.values())


class _Recorder(BaseCallback):
    def __init__(self, known: Set[str], texts: bool) -> None:
        self.spans: dict[str, Span] = {}
        self._known, self._texts = known, texts

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        name = type(instance).__name__
        given = {f"arg{i}": value for i, value in enumerate(inputs.get("args", ()))}
        given |= inputs.get("kwargs", {})
        self._start(call_id, name, _KINDS.get(name, "CHAIN"), given, {})

    def on_module_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        self._end(call_id, outputs, exception)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        given = {key: inputs[key] for key in _LM_INPUTS if inputs.get(key) is not None}
        model = {"model": str(instance.model)}
        self._start(call_id, type(instance).__name__, "CHAT_MODEL", given, model)

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._end(call_id, outputs, exception)

    def _start(
        self, call_id: str, name: str, kind: str, given: Any, attributes: dict[str, Any]
    ) -> None:
        self.spans[call_id] = Span(
            id=call_id,
            parent=active_call(),
            name=name,
            kind=kind,
            inputs=redact(given, self._known, self._texts),
            attributes=attributes,
            started=time.time_ns(),
        )

    def _end(self, call_id: str, outputs: Any, exception: BaseException | None) -> None:
        error = None if exception is None else type(exception).__name__
        ended = time.time_ns()
        outputs = redact(outputs, self._known, self._texts)
        self.spans[call_id] = replace(
            self.spans[call_id], outputs=outputs, error=error, ended=ended
        )


def redact(value: Any, known: Set[str], texts: bool) -> Any:
    """Return a value as plain JSON, with a note in place of what may be private.

    Args:
        known: strings that may be shown.
        texts: show every string.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if texts or value in known else f"<{len(value)} characters>"
    if isinstance(value, Agent):
        return redact(value.name, known, texts)
    if isinstance(value, Mapping | dspy.Prediction):
        return _redact_items(dict(value.items()), known, texts)
    if isinstance(value, list | tuple | Set):
        some = [redact(one, known, texts) for one in list(value)[:_MOST_SHOWN]]
        return some + [f"<{len(value) - _MOST_SHOWN} more>"] * (len(value) > _MOST_SHOWN)
    if is_dataclass(value) and type(value).__module__.startswith("task_delegator."):
        return _redact_items({f.name: getattr(value, f.name) for f in fields(value)}, known, texts)
    return f"<{type(value).__name__}>"


def _redact_items(values: Mapping[Any, Any], known: Set[str], texts: bool) -> dict[str, Any]:
    items = list(values.items())[:_MOST_SHOWN]
    rest = {"more": f"<{len(values) - _MOST_SHOWN} more>"} if len(values) > _MOST_SHOWN else {}
    return {_redact_key(key, known, texts): redact(v, known, texts) for key, v in items} | rest


def _redact_key(key: Any, known: Set[str], texts: bool) -> str:
    """Show keys that are names of fields or known; two notes of the same length become one."""
    text = str(key)
    return text if texts or text in known or text.isidentifier() else f"<{len(text)} characters>"
