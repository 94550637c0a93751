"""The routes of the service: what each takes, answers and refuses."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .access import Caller
from .desk import Desk
from .discovery import SearchRequest, SearchResponse, entries
from .metrics import CONTENT_TYPE
from .wire import (
    AgentResponse,
    DelegationResponse,
    FeedbackRequest,
    PlanRequest,
    PlanResponse,
    Problem,
    Status,
    TaskRequest,
    Waiting,
)

_BEARER = HTTPBearer(auto_error=False, description="A token of the file that --tokens names.")


def _problem(description: str) -> dict[str, Any]:
    return {"model": Problem, "description": description}


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: _problem("The request cannot be used."),
    401: _problem("No token, one that is not known, or several."),
    408: _problem("The body of the request did not arrive in time."),
    413: _problem("The request is too large."),
    502: _problem("The LM or the embedder failed."),
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: _problem("No such delegation, or no such agent, for this caller."),
    503: _problem("The feedback cannot be kept now."),
}


def desk_of(request: Request) -> Desk:
    """Return what answers."""
    return request.app.state.desk


def caller_of(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> Caller:
    """Return who calls.

    Raises:
        HTTPException: no token is sent, one that is not known, or several.
    """
    caller = request.app.state.access.caller(*request.headers.getlist("authorization"))
    if caller is None:
        raise HTTPException(
            401, "send one known token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"}
        )
    return caller


Answering = Annotated[Desk, Depends(desk_of)]
Calling = Annotated[Caller, Depends(caller_of)]

delegation = APIRouter(tags=["delegation"], responses=_REFUSALS)
review = APIRouter(tags=["review"], responses=_REFUSALS)
operation = APIRouter(tags=["operation"])


@delegation.post("/delegate")
async def delegate(body: TaskRequest, desk: Answering, caller: Calling) -> DelegationResponse:
    """Name the right agent for a task, and what to do: assign, review, or none."""
    wishes = body.wishes()
    request_id, found = await desk.delegate(caller, body.task, body.permissions, **wishes)
    return DelegationResponse.of(request_id, found, body.evidence)


@delegation.post("/plan")
async def plan(body: PlanRequest, desk: Answering, caller: Calling) -> PlanResponse:
    """Split a task that needs several agents, and delegate each part."""
    wishes = body.wishes()
    request_ids, found = await desk.plan(caller, body.task, body.permissions, **wishes)
    return PlanResponse.of(request_ids, found, body.evidence)


@delegation.post("/search", response_model_exclude_unset=True)
async def search(body: SearchRequest, desk: Answering, caller: Calling) -> SearchResponse:
    """Look for agents, as a registry of ARD answers; no LM is asked."""
    found = await desk.search(caller, body.query.text, body.pageSize)
    return SearchResponse(results=entries(found, "task-delegator"))


@delegation.get("/agents")
async def agents(desk: Answering, caller: Calling) -> list[AgentResponse]:
    """List the agents that the caller may use, by name."""
    return [
        AgentResponse(name=a.name, description=a.description, kind=a.kind, domain=a.domain)
        for a in desk.agents(caller)
    ]


@review.post("/feedback", status_code=204, responses=_UNKNOWN)
async def feedback(body: FeedbackRequest, desk: Answering, caller: Calling) -> None:
    """Record who was right."""
    await desk.record(caller, body.request_id, body.correct_agent)


@review.get("/reviews")
async def reviews(desk: Answering, caller: Calling) -> list[Waiting]:
    """List what waits for a person, the oldest first: the caller's own; of all, to a reviewer."""
    return [
        Waiting(
            task=given.delegation.task,
            asked_by=given.caller,
            delegation=DelegationResponse.of(given.request_id, given.shown, False),
        )
        for given in await desk.waiting(caller)
        if given.shown is not None
    ]


@operation.get("/healthz")
async def health() -> Status:
    """Say that the process runs."""
    return Status(status="ok")


@operation.get("/readyz", responses={503: {"model": Status, "description": "Not yet, or no more."}})
async def readiness(desk: Answering, response: Response) -> Status:
    """Say whether the index is built, and tasks are taken."""
    if desk.ready:
        return Status(status="ok")
    response.status_code = 503
    return Status(status="starting")


@operation.get(
    "/metrics",
    responses={401: _REFUSALS[401], 403: _problem("A token that has limits.")},
    response_class=Response,
)
async def metrics(desk: Answering, caller: Calling) -> Response:
    """Return the counters of all callers and agents, in the text format of Prometheus.

    Raises:
        HTTPException: the caller may not use all agents.
    """
    if caller.permissions is not None:
        raise HTTPException(403, "the counters are of all agents: send a token without limits")
    return Response(desk.counted(), media_type=CONTENT_TYPE)
