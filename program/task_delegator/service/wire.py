"""What requests and responses hold, for the service and its OpenAPI document."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..choice import PlanWishes, Wishes
from ..delegation import CalibratedBy, Candidate, Decision, Delegation, Plan
from ..settings import MAX_TASK_CHARACTERS

# Limits that hold over HTTP and as tools of MCP.
Name = Annotated[str, Field(max_length=200)]
EarlierTask = Annotated[str, Field(max_length=MAX_TASK_CHARACTERS)]
MOST_NAMES, MOST_EARLIER = 1000, 100
_Task = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_TASK_CHARACTERS,
        pattern=r"\S",
        description="The task in plain words.",
        examples=["A customer was billed twice for May."],
    ),
]
_Permissions = Annotated[
    list[Name] | None,
    Field(
        max_length=MOST_NAMES,
        description="Permissions of the person behind the request; never more than the token's.",
        examples=[["billing.read"]],
    ),
]
_Names = Annotated[list[Name], Field(max_length=MOST_NAMES, examples=[["Refund Desk"]])]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PlanRequest(_Request):
    """A task to plan."""

    task: _Task
    permissions: _Permissions = None
    exclude: _Names = Field([], description="Agents that are not to be named: those that failed.")
    include: _Names = Field([], description="Agents that are considered, however little they fit.")
    evidence: bool = Field(False, description="Add what every stage saw.")

    def wishes(self) -> PlanWishes:
        """Return whom the caller excludes and includes."""
        return {"exclude": self.exclude, "include": self.include}


class TaskRequest(PlanRequest):
    """A task to delegate."""

    history: list[EarlierTask] = Field(
        [],
        max_length=MOST_EARLIER,
        description="Earlier tasks of the conversation, oldest first; read where the task refers "
        "to them.",
        examples=[["Where is my refund for order 17?"]],
    )
    k: int = Field(3, ge=1, le=100, description="How many agents `ranking` names at most.")

    def wishes(self) -> Wishes:
        """Return what the caller wishes for beside the task."""
        return {**super().wishes(), "history": self.history, "k": self.k}


class Share(BaseModel):
    """An agent and its probability among all that the caller may use."""

    name: str
    probability: float

    @classmethod
    def each(cls, candidates: Iterable[Candidate]) -> "list[Share]":
        """Return candidates as they are told."""
        return [cls(name=one.name, probability=one.probability) for one in candidates]


class DelegationResponse(BaseModel):
    """Which agent shall do a task, how sure that is, and what to do with it."""

    request_id: str = Field(description="Send it back with the feedback.")
    decision: Decision
    agent: str | None
    confidence: float
    calibrated_by: CalibratedBy | None = Field(
        description="Labels or samples of these agents, other registries, or an LM's own word; "
        "null: it is not."
    )
    top3: list[Share]
    ranking: list[Share] = Field(description="The best `k` agents.")
    reason: str
    several: float | None = Field(description="Probability that it needs several agents: plan it.")
    rubric: int | None
    degraded: bool = Field(description="The LM was needed and failed: retrieval decided alone.")
    lm_calls: int
    evidence: dict[str, Any] | None = None

    @classmethod
    def of(cls, request_id: str, delegation: Delegation, evidence: bool) -> "DelegationResponse":
        """Return what is told of a delegation."""
        return cls(
            request_id=request_id,
            decision=delegation.decision,
            agent=delegation.agent,
            confidence=delegation.confidence,
            calibrated_by=delegation.evidence.calibrated_by,
            top3=Share.each(delegation.top3),
            ranking=Share.each(delegation.ranking),
            reason=delegation.reason,
            several=delegation.several,
            rubric=delegation.rubric,
            degraded=delegation.evidence.lm_failure is not None,
            lm_calls=delegation.usage.lm_calls,
            evidence=delegation.evidence.to_dict() if evidence else None,
        )


class StepResponse(BaseModel):
    """One part of a plan, with its own delegation."""

    number: int
    task: str
    after: list[int] = Field(description="Numbers of the steps that must be done before.")
    delegation: DelegationResponse


class PlanResponse(BaseModel):
    """Which agents a task needs, for which part of it, and in which order."""

    several: float = Field(description="Probability that the task needs several agents.")
    steps: list[StepResponse]

    @classmethod
    def of(cls, request_ids: list[str], plan: Plan, evidence: bool) -> "PlanResponse":
        """Return what is told of a plan; each step has a request id of its own."""
        steps = [
            StepResponse(
                number=step.number,
                task=step.task,
                after=list(step.after),
                delegation=DelegationResponse.of(request_id, step.delegation, evidence),
            )
            for request_id, step in zip(request_ids, plan.steps, strict=True)
        ]
        return cls(several=plan.several, steps=steps)


class FeedbackRequest(_Request):
    """Who was right, of a delegation that this service made."""

    request_id: Annotated[str, Field(max_length=64, examples=["5f0c1d3a9b7e4c2f8a6d0e1b3c5a7f90"])]
    correct_agent: Annotated[
        Name | None, Field(description="The right agent; null where nobody is.")
    ]


class AgentResponse(BaseModel):
    """An agent that the caller may use."""

    name: str
    description: str
    kind: Literal["ai", "human"]
    domain: str


class Problem(BaseModel):
    """What went wrong, on one line."""

    detail: str


class Status(BaseModel):
    """Whether the service runs, or is ready."""

    status: Literal["ok", "starting", "stopping"]


class Waiting(BaseModel):
    """A delegation that waits for a person."""

    task: str
    asked_by: str = Field(description="Name of the token of who asked.")
    delegation: DelegationResponse
