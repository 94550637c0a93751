"""Keep traces, reviews and what persons said in MLflow (extra ``mlflow``)."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mlflow
from mlflow.entities import Assessment, AssessmentSource
from mlflow.exceptions import MlflowException
from mlflow.genai import label_schemas, review_queues
from mlflow.tracking import MlflowClient

from ..errors import InputError, StoreError
from ..text import without_user
from .log import Assessed, Recorded
from .spans import Span
from .verdict import QUESTIONS, RIGHT_AGENT, VERDICT, Question, verdict_of

EXPERIMENT = "task-delegator"
QUEUE = "task-delegator reviews"
# Tags of a trace.
REQUEST_ID, FIRST_AGENT, REVIEW, TEXTS = "request_id", "first_agent", "review", "texts"
_log = logging.getLogger(__name__)

# A service's thread waits for the store. MLflow's own seven tries take minutes; and a trace that
# is written by another thread of MLflow's is not there yet when an assessment comes.
_SETTINGS = {
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def write_spans(
    spans: Sequence[Span],
    tags: Mapping[str, str] | None = None,
    experiment: str | None = None,
) -> list[str]:
    """Write spans as traces, one for each span without a parent; return the ids of the traces.

    Args:
        spans: parents before children.
        tags: of each trace.
        experiment: id of an experiment; None for the active one.
    """
    opened: dict[str, Any] = {}
    for span in spans:
        parent = opened.get(span.parent or "")
        opened[span.id] = mlflow.start_span_no_context(
            span.name,
            span_type=span.kind,
            parent_span=parent,
            inputs=span.inputs,
            attributes=span.attributes,
            tags=dict(tags or {}) if parent is None else None,
            experiment_id=experiment if parent is None else None,
            start_time_ns=span.started,
        )
    for span in reversed(spans):
        status = "OK" if span.error is None else "ERROR"
        if span.error is not None:
            opened[span.id].set_attribute("error", span.error)
        opened[span.id].end(outputs=span.outputs, status=status, end_time_ns=span.ended)
    return [opened[span.id].trace_id for span in spans if span.parent not in opened]


class MlflowStore:
    """The traces of one experiment, and the queue of those that wait for a person.

    Args:
        uri: of a server or a database; as in ``MLFLOW_TRACKING_URI``.

    Raises:
        StoreError: it cannot be used.
    """

    def __init__(self, uri: str) -> None:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        # What cannot be written is told by ``TraceLog``, once and without addresses.
        for noisy in ("mlflow.tracing.export", "urllib3.connectionpool"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        try:
            mlflow.set_tracking_uri(uri)
            self.experiment = mlflow.set_experiment(EXPERIMENT).experiment_id
        except Exception as error:  # of a driver, the network, the disk, or MLflow
            raise StoreError(
                f"--mlflow {without_user(uri)}: cannot be used ({type(error).__name__}); start "
                "what serves it, or name a local database: sqlite:///mlflow.db"
            ) from error
        self._client = MlflowClient()
        self._queue: str | None = None
        self._has_queues = True

    def write(self, recorded: Recorded) -> None:
        """Write a trace; one that waits for a person is put into the queue of reviews.

        Raises:
            MlflowException: the store does not take it.
        """
        decided = recorded.decided
        review = decided is not None and decided.decision == "review"
        tags = {
            "decision": decided.decision if decided else "failed",
            FIRST_AGENT: recorded.shown_first,
            REVIEW: "open" if review else None,
            TEXTS: "kept" if recorded.texts else None,
        }
        shown = {name: value for name, value in tags.items() if value is not None}
        (trace_id,) = write_spans(recorded.spans, shown, self.experiment)
        # A trace that cannot be written is no error to MLflow; a tag that cannot is one.
        request_id = decided.request_id if decided else "none"
        self._client.set_trace_tag(trace_id, REQUEST_ID, request_id)
        if review and (queue := self._review_queue()) is not None:
            review_queues.add_items_to_review_queue(queue, item_ids=[trace_id])

    def assess(self, assessed: Assessed) -> None:
        """Write a verdict, and the right agent where there is one, to the trace of a request.

        What the same person said before counts no more.

        Raises:
            InputError: no trace has the request's id.
            MlflowException: the store does not take it.
        """
        trace = self._find(assessed.request_id)
        person = assessed.source or "unnamed"
        source = AssessmentSource("HUMAN", person)
        known: dict[str, Any] = {"trace_id": trace.trace_id, "source": source}
        before = _said_by(person, trace.assessments)
        verdict = verdict_of(trace.tags.get(FIRST_AGENT), assessed.shown_agent)
        if VERDICT in before:
            mlflow.override_feedback(assessment_id=before[VERDICT], value=verdict, **known)
        else:
            mlflow.log_feedback(name=VERDICT, value=verdict, **known)
        if RIGHT_AGENT in before:
            mlflow.delete_assessment(trace.trace_id, before[RIGHT_AGENT])
        if assessed.shown_agent is not None:
            mlflow.log_expectation(name=RIGHT_AGENT, value=assessed.shown_agent, **known)
        if trace.tags.get(REVIEW) != "open":
            return
        self._client.set_trace_tag(trace.trace_id, REVIEW, "done")
        if (queue := self._review_queue()) is not None:
            review_queues.set_review_queue_item_status(
                queue,
                item_id=trace.trace_id,
                status="complete",
                completed_by=person,
            )

    def require(self, request_id: str) -> None:
        """Check that there is a trace of a request.

        Raises:
            InputError: no trace has the request's id.
            MlflowException: the store does not answer.
        """
        self._find(request_id)

    def _find(self, request_id: str) -> Any:
        if not request_id.isalnum():
            raise InputError(f"the request id {request_id!r} has other signs than letters, digits")
        found: Any = mlflow.search_traces(
            locations=[self.experiment],
            filter_string=f"tags.{REQUEST_ID} = '{request_id}'",
            max_results=1,
            include_spans=False,
            return_type="list",
        )
        if not found:
            raise InputError(f"no trace has the request id {request_id}")
        return found[0].info

    def _review_queue(self) -> str | None:
        """Return the id of the queue of reviews, None where the server keeps none."""
        if self._queue is None and self._has_queues:
            try:
                self._queue = _queue_id(self.experiment)
            except MlflowException as error:
                self._has_queues = False
                _log.warning(
                    "MLflow keeps no review queue here (%s): look for traces with the tag %s=open",
                    error.error_code,
                    REVIEW,
                )
        return self._queue


def _said_by(source: str, assessments: Iterable[Assessment]) -> dict[str, str]:
    """Return the ids of a person's assessments that hold, by name; the last of each."""
    return {
        one.name: str(one.assessment_id)
        for one in assessments
        if one.valid is not False
        and (one.source.source_type, one.source.source_id) == ("HUMAN", source)
    }


def _queue_id(experiment: str) -> str:
    """Return the id of the queue of reviews; it and its questions are made where missing."""
    questions = [_schema_id(experiment, question) for question in QUESTIONS]
    try:
        made = review_queues.create_review_queue(
            QUEUE, queue_type="custom", schema_ids=questions, experiment_id=experiment
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        made = review_queues.get_review_queue(name=QUEUE, experiment_id=experiment)
    return made.queue_id


def _schema_id(experiment: str, question: Question) -> str:
    options = list(question.options)
    asked: Any = label_schemas.InputCategorical(options) if options else label_schemas.InputText()
    try:
        made = label_schemas.create_label_schema(
            question.name,
            type="feedback" if options else "expectation",
            input=asked,
            instruction=question.instruction,
            enable_comment=bool(options),
            experiment_id=experiment,
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        made = label_schemas.get_label_schema(question.name, experiment_id=experiment)
    return str(made.schema_id)
