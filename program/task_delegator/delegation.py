"""The values that flow through the program."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import dspy
from dspy.utils.usage_tracker import UsageTracker

Decision = Literal["assign", "review", "none"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that retrieval proposes, with its share of the posterior (0..1)."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a delegation cost: LM calls, LM tokens (prompt and answer), seconds."""

    lm_calls: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Delegation(dspy.Prediction):
    """Say which agent should do a task, how sure that is, and what to do with it.

    A ``dspy.Prediction``, so that optimisers, usage tracking and traces take it as it is.

    Attributes:
        task: the task as it was given.
        decision: ``assign`` to ``agent``, let a person ``review`` it, or ``none``
            of the agents fits.
        agent: the best agent's name; None where none fits or none is permitted.
        top3: the three best agents, best first, with probabilities that sum to 1
            over all permitted agents.
        confidence: calibrated probability (0..1) that the first of ``top3`` is right.
        reason: one sentence for the person who reviews.
        rubric: the LM's own confidence from 1 (very low) to 5 (very high), where asked.
        evidence: what every stage saw, for audit.
        usage: what it cost.
    """

    task: str
    decision: Decision
    agent: str | None
    top3: tuple[Candidate, ...]
    confidence: float
    reason: str
    rubric: int | None
    evidence: dict[str, Any]
    usage: Usage

    def to_json(self) -> dict[str, Any]:
        """Return the delegation as plain JSON values."""
        values = dict(self.items())
        return {
            **values,
            "top3": [asdict(candidate) for candidate in self.top3],
            "usage": asdict(self.usage),
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a plan.

    Attributes:
        number: from 1, in the order of the task.
        task: the part, in the words of the task.
        after: numbers of the steps that must be done before.
        delegation: who shall do it, with its own confidence and decision.
    """

    number: int
    task: str
    after: tuple[int, ...]
    delegation: Delegation


class Plan(dspy.Prediction):
    """Say which agents a task needs, for which part of it, and in which order.

    Attributes:
        task: the task as it was given.
        steps: one where one agent suffices, else one per part.
        several: probability (0..1) that the task needs several agents.
        source: who split it: ``lexical`` (clauses and retrieval scores) or ``lm``.
        usage: what it cost, the steps' delegations included.
    """

    task: str
    steps: tuple[Step, ...]
    several: float
    source: Literal["lexical", "lm"]
    usage: Usage

    @property
    def agents(self) -> tuple[str, ...]:
        """Best agent of each step, each once."""
        best = (step.delegation.top3[0].name for step in self.steps if step.delegation.top3)
        return tuple(dict.fromkeys(best))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        steps = [
            {
                "number": step.number,
                "task": step.task,
                "after": list(step.after),
                "delegation": step.delegation.to_json(),
            }
            for step in self.steps
        ]
        return {**dict(self.items()), "steps": steps, "usage": asdict(self.usage)}


def total_tokens(tracker: UsageTracker) -> int:
    """Return the tokens that all LMs of ``dspy.track_usage`` took, prompts and answers."""
    parts = ("prompt_tokens", "completion_tokens")
    return sum(
        int(entry.get("total_tokens") or sum(int(entry.get(part) or 0) for part in parts))
        for entry in tracker.get_total_tokens().values()
    )
