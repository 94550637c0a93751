"""Traces of delegations: spans, what of them may be shown, and who writes them meanwhile.

``mlflow_store`` writes them to MLflow, and is loaded only where that is asked for. What a service
decided, with the texts that traces leave out, is a log on its own disk.
"""

from .decisions import Decided, Requested, read_decisions
from .log import Assessed, Recorded, TraceLog, TraceStore
from .redaction import LiveNames, redact, shown_name, shown_names
from .spans import Span, SpanRecorder, by_delegation
from .verdict import (
    ANOTHER,
    FIRST,
    NOBODY,
    QUESTIONS,
    RIGHT_AGENT,
    SEVERAL,
    VERDICT,
    Question,
    agent_of,
    verdict_of,
)
from .waiting import still_waiting

__all__ = [
    "ANOTHER",
    "Assessed",
    "Decided",
    "FIRST",
    "LiveNames",
    "NOBODY",
    "QUESTIONS",
    "Question",
    "RIGHT_AGENT",
    "Recorded",
    "Requested",
    "SEVERAL",
    "Span",
    "SpanRecorder",
    "TraceLog",
    "TraceStore",
    "VERDICT",
    "agent_of",
    "by_delegation",
    "read_decisions",
    "redact",
    "shown_name",
    "shown_names",
    "still_waiting",
    "verdict_of",
]
