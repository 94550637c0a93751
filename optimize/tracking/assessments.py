"""Read what persons said of traces back, as feedback: to merge it into a dataset.

A trace without texts holds no task. The service's own log of decisions does, by the id of the
request; a trace that was written with texts holds it too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import mlflow

from optimize.tracking.store import connect, translate_store_errors
from task_delegator.feedback import Feedback
from task_delegator.registry import Registry
from task_delegator.tracing import RIGHT_AGENT, SEVERAL, VERDICT, Decided, agent_of, shown_names
from task_delegator.tracing.mlflow_store import FIRST_AGENT, REQUEST_ID, TEXTS

_HUMAN = "HUMAN"
_PAGE = 500  # traces that are read at once
_NAMES = (VERDICT, RIGHT_AGENT)


@dataclass(frozen=True, slots=True)
class Answers:
    """What was read of the traces of an experiment.

    Attributes:
        feedback: one row for each trace and person who answered.
        several: answers that several agents are right; they belong to no split.
        unclear: answers that name no agent, such as another one without a name.
        without_text: answers whose task neither the log of decisions nor the trace holds.
    """

    feedback: tuple[Feedback, ...]
    several: int
    unclear: int
    without_text: int


def read_answers(registry: Registry, decisions: Mapping[str, Decided]) -> Answers:
    """Read the answers of persons from the store of ``MLFLOW_TRACKING_URI``.

    Args:
        registry: whose agents the answers name.
        decisions: the log of decisions, by the id of the request.

    Raises:
        StoreError: the store cannot be used.
    """
    experiment, plain = connect(), {s: name for name, s in shown_names(registry).items()}
    feedback: list[Feedback] = []
    counts = {"several": 0, "unclear": 0, "without_text": 0}
    with translate_store_errors():
        for trace in _traces(experiment):
            decided = decisions.get(trace.info.tags.get(REQUEST_ID, ""))
            text = decided.task if decided else _kept_text(trace)
            first = trace.info.tags.get(FIRST_AGENT)
            for source, answers in _by_person(trace.info.assessments).items():
                said = {name: str(answer.value) for name, answer in answers.items()}
                try:
                    agent = agent_of(said, first)
                except LookupError:
                    counts["several" if said.get(VERDICT) == SEVERAL else "unclear"] += 1
                    continue
                if text is None:
                    counts["without_text"] += 1
                    continue
                right = None if agent is None else plain.get(agent, agent)
                feedback.append(_feedback(text, right, decided, source, answers.values()))
    return Answers(tuple(feedback), **counts)


def _traces(experiment: str) -> Iterator[Any]:
    """Yield the traces of delegations of a service, the oldest first."""
    token = None
    client = mlflow.MlflowClient()
    while True:
        page = client.search_traces(
            locations=[experiment],
            filter_string=f"tags.{REQUEST_ID} LIKE '%'",
            order_by=["timestamp_ms ASC"],
            max_results=_PAGE,
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def _by_person(assessments: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Return the last answer of each person to each question, by person and question."""
    found: dict[str, dict[str, Any]] = {}
    for one in sorted(assessments, key=lambda a: a.last_update_time_ms or 0):
        asked = one.name in _NAMES and one.source.source_type == _HUMAN
        if asked and one.valid is not False and isinstance(one.value, str):
            found.setdefault(one.source.source_id, {})[one.name] = one
    return found


def _kept_text(trace: Any) -> str | None:
    """Return the task that a trace was written with, None where it holds its length instead."""
    if trace.info.tags.get(TEXTS) != "kept":
        return None
    root = next(span for span in trace.data.spans if span.parent_id is None)
    given = root.inputs if isinstance(root.inputs, dict) else json.loads(root.inputs)
    task = given.get("task", given.get("arg0"))
    return task if isinstance(task, str) else None


def _feedback(
    task: str, right: str | None, decided: Decided | None, source: str, answers: Iterable[Any]
) -> Feedback:
    last = max(answer.last_update_time_ms or 0 for answer in answers)
    known = (
        {
            "agent": decided.agent,
            "decision": decided.decision,
            "confidence": decided.confidence,
            "in_scope_score": decided.in_scope_score,
        }
        if decided
        else {}
    )
    return Feedback(
        task=task,
        correct_agent=right,
        time=datetime.fromtimestamp(last / 1000, UTC).isoformat(timespec="seconds"),
        source=source,
        **known,
    )
