"""The same as tools of MCP, so that an assistant can ask for the right agent."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import Field, ValidationError
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..choice import Wishes
from ..errors import DelegatorError
from ..registry import first_fault
from ..settings import MAX_TASK_CHARACTERS
from ..text import printable
from .access import LOOPBACK, Access, Caller
from .desk import Desk
from .wire import (
    MOST_EARLIER,
    MOST_NAMES,
    DelegationResponse,
    EarlierTask,
    Name,
    PlanResponse,
)

_INSTRUCTIONS = (
    "Ask find_agent who shall do a task. Hand the task over where the decision is assign, show "
    "the three best to a person where it is review, and tell the user where it is none. Where an "
    "agent could not do it, ask again and exclude it. Ask plan_task where a task needs several "
    "agents."
)
_Task = Annotated[
    str, Field(description="The task in plain words.", min_length=1, max_length=MAX_TASK_CHARACTERS)
]
_Exclude = Annotated[
    tuple[Name, ...],
    Field(max_length=MOST_NAMES, description="Agents that are not to be named: those that failed."),
]
_History = Annotated[
    tuple[EarlierTask, ...],
    Field(
        max_length=MOST_EARLIER,
        description="The user's earlier tasks in this conversation, oldest first.",
    ),
]
_Permissions = Annotated[
    tuple[Name, ...] | None,
    Field(
        max_length=MOST_NAMES,
        description="Permissions of the person behind the task; never more than the caller's.",
    ),
]
PATH = "/mcp"
# MCPServer's own handler wraps lines, and fails in the loop where no file can be opened.
_LOGGED = "%(asctime)s %(levelname)s: %(message)s"


def create_tools(
    desk: Desk, access: Access | None = None, caller: Caller | None = None
) -> MCPServer:
    """Return an MCP server with the tools ``find_agent`` and ``plan_task``.

    Args:
        desk: what answers.
        access: tells callers over HTTP by their tokens.
        caller: who calls where there are no headers (stdio); None for one without limits.
    """
    logging.basicConfig(format=_LOGGED)
    alone = caller or Caller("local")

    def calling(context: Context) -> Caller:
        if context.headers is None or access is None:
            return alone
        known = access.caller(context.headers.get("authorization"))
        if known is None:  # the guard in front of HTTP has refused it before
            raise PermissionError("no token that is known")
        return known

    async def find_agent(
        task: _Task,
        context: Context,
        exclude: _Exclude = (),
        history: _History = (),
        permissions: _Permissions = None,
    ) -> DelegationResponse:
        """Name the right agent for a task: assign it, have it reviewed, or neither."""
        with _told():
            asking = calling(context)
            wishes = Wishes(exclude=exclude, history=history)
            request_id, found = await desk.delegate(asking, task, permissions, **wishes)
        return DelegationResponse.of(request_id, found, False)

    async def plan_task(
        task: _Task,
        context: Context,
        exclude: _Exclude = (),
        permissions: _Permissions = None,
    ) -> PlanResponse:
        """Split a task that needs several agents, and name the right agent for each part."""
        with _told():
            asking = calling(context)
            request_ids, found = await desk.plan(asking, task, permissions, exclude=exclude)
        return PlanResponse.of(request_ids, found, False)

    return MCPServer(
        "task-delegator",
        instructions=_INSTRUCTIONS,
        tools=[_strict(find_agent), _strict(plan_task)],
        log_level="WARNING",
    )


class _InOneLine(Tool):
    """A tool that says in one line which argument is wrong: the SDK tells all, with their values.

    It answers an assistant, and what was sent may be long.
    """

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,
    ) -> Any:
        """Run the tool.

        Raises:
            ToolError: an argument is wrong, or the tool says what is.
        """
        try:
            return await super().run(arguments, context, convert_result)
        except UnexpectedToolError:  # a fault of ours, whatever raised it
            raise
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                known = ", ".join(self.fn_metadata.arg_model.model_fields)
                said = printable(first_fault(error.__cause__))
                raise ToolError(f"{said:.300}; {self.name} takes {known}") from error
            raise


def _strict(answer: Callable[..., Any]) -> Tool:
    """Return a tool that refuses arguments which it does not have: the SDK drops them."""
    tool = _InOneLine.from_function(answer)
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    return tool.model_copy(update={"parameters": arguments.model_json_schema(by_alias=True)})


@contextmanager
def _told() -> Iterator[None]:
    """Tell the assistant what is wrong, where that is known; other errors are told to the log."""
    try:
        yield
    except DelegatorError as error:
        raise ToolError(str(error)) from error


def transport_security(access: Access) -> TransportSecuritySettings:
    """Return which hosts may be named: loopback alone, where no token is asked for."""
    hosts = [spelled for name in LOOPBACK for spelled in (name, f"{name}:*")]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=access.open, allowed_hosts=hosts
    )


class Tools:
    """Answer at one path with the tools, to known callers only; hand on all other requests.

    Args:
        app: what handles the other requests.
        served: the application of the MCP server.
        access: who may call.
    """

    def __init__(self, app: ASGIApp, served: ASGIApp, access: Access) -> None:
        self._app, self._served, self._access = app, served, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).getlist("authorization")
        if self._access.caller(*sent) is None:
            refusal = JSONResponse({"detail": "send one known token"}, 401)
            await refusal(scope, receive, send)
            return
        await self._served(scope, receive, send)
