"""What the service counts, in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..delegation import Delegation

_PREFIX = "task_delegator_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one service. Nothing of a task, an agent or a caller is in them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._decisions = self._counter("delegations", "Delegations by decision.", "decision")
        self._lm_calls = self._counter("lm_calls", "Calls of the LM.")
        self._degraded = self._counter(
            "lm_failures",
            "Delegations for which the LM was needed and failed, by fault.",
            "fault",
        )
        self._errors = self._counter(
            "errors", "Delegations and plans that ended in an error, by its type.", "error"
        )
        self._feedback = self._counter("feedback", "Feedback by outcome.", "outcome")
        self._seconds = Histogram(
            f"{_PREFIX}seconds",
            "Seconds from a task to its delegation, its wait for a place included.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self._registry,
        )
        self.queued = self._gauge("tasks_queued", "Tasks that wait for a place.")
        self.under_way = self._gauge("tasks_under_way", "Tasks that are worked on.")
        self.waiting = self._gauge("reviews_waiting", "Delegations that wait for a person.")
        self.forgotten = self._gauge(
            "reviews_forgotten",
            "Delegations that waited for a person and were forgotten, as too many did.",
        )
        self.not_written = self._gauge(
            "not_written", "Traces, assessments and decisions that were not written."
        )
        self.agents = self._gauge("agents", "Agents of the registry.")
        self.stale = self._gauge(
            "registry_stale", "1 where the watched file cannot be used and older agents serve."
        )

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(_PREFIX + name, about, labels, registry=self._registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(_PREFIX + name, about, registry=self._registry)

    def count(self, delegation: Delegation) -> None:
        """Count a delegation."""
        self._decisions.labels(delegation.decision).inc()
        self._lm_calls.inc(delegation.usage.lm_calls)
        self._seconds.observe(delegation.usage.seconds)
        if delegation.evidence.lm_failure is not None:
            self._degraded.labels(delegation.evidence.lm_failure.fault).inc()

    def count_error(self, error: Exception) -> None:
        """Count a delegation or a plan that ended in an error."""
        self._errors.labels(type(error).__name__).inc()

    def count_feedback(self, correct: bool) -> None:
        """Count a feedback: whether the first place was right."""
        self._feedback.labels("right" if correct else "wrong").inc()

    def text(self) -> bytes:
        """Return all of them, as Prometheus reads them."""
        return generate_latest(self._registry)
