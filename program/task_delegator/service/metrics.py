"""What the service counts, in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..delegation import Delegation

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one service. Nothing of a task, an agent or a caller is in them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._decisions = Counter(
            "task_delegator_delegations",
            "Delegations by decision.",
            ["decision"],
            registry=self._registry,
        )
        self._lm_calls = Counter(
            "task_delegator_lm_calls", "Calls of the LM.", registry=self._registry
        )
        self._degraded = Counter(
            "task_delegator_lm_failures",
            "Delegations for which the LM was needed and failed, by fault.",
            ["fault"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "task_delegator_seconds",
            "Seconds from a task to its delegation.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self._registry,
        )
        self._feedback = Counter(
            "task_delegator_feedback", "Feedback by outcome.", ["outcome"], registry=self._registry
        )
        self.under_way = Gauge(
            "task_delegator_tasks_under_way", "Tasks that are worked on.", registry=self._registry
        )
        self.waiting = Gauge(
            "task_delegator_reviews_waiting",
            "Delegations that wait for a person.",
            registry=self._registry,
        )
        self.agents = Gauge(
            "task_delegator_agents", "Agents of the registry.", registry=self._registry
        )

    def count(self, delegation: Delegation) -> None:
        """Count a delegation."""
        self._decisions.labels(delegation.decision).inc()
        self._lm_calls.inc(delegation.usage.lm_calls)
        self._seconds.observe(delegation.usage.seconds)
        if delegation.evidence.lm_failure is not None:
            self._degraded.labels(delegation.evidence.lm_failure.fault).inc()

    def count_feedback(self, correct: bool) -> None:
        """Count a feedback: whether the first place was right."""
        self._feedback.labels("right" if correct else "wrong").inc()

    def text(self) -> bytes:
        """Return all of them, as Prometheus reads them."""
        return generate_latest(self._registry)
