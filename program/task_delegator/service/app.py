"""The HTTP application: put together from routes, page and MCP; what errors become."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from mcp.server.mcpserver import MCPServer
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ..errors import DelegatorError
from ..text import printable
from . import routes
from .access import LOOPBACK, Access
from .desk import Desk, NotFoundError, NotKeptError
from .limits import BodyLimit
from .tools import PATH, Tools, transport_security
from .unique_keys import UniqueKeys

_STATIC = files("task_delegator.service") / "static"
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
# Kinds of faults that pydantic and FastAPI say in their own terms.
_SAID = {
    "string_pattern_mismatch": "is empty: say something",
    "json_invalid": "broken JSON at this character",
}
# The page runs its own script and asks this service alone; no other page shows it in a frame,
# where a click or a key would be taken for its own.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_app(desk: Desk, access: Access | None = None, tools: MCPServer | None = None) -> FastAPI:
    """Return the application of a service.

    Args:
        desk: what answers.
        access: who may call; None for everybody, which is for loopback addresses only.
        tools: the MCP server to mount at ``/mcp``; None for none.
    """
    access = access or Access()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if tools is not None:
                await stack.enter_async_context(tools.session_manager.run())
            async with desk.open():
                yield

    app = FastAPI(
        title="Task Delegator",
        description="Name the right agent for a task in plain words.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # their scripts come from another host
        redoc_url=None,
    )
    app.state.desk, app.state.access = desk, access
    app.add_middleware(UniqueKeys)  # the innermost, as it is added first: it reads the body
    if access.open:  # a page of another host must not reach it by a name of its own
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)
    app.add_exception_handler(DelegatorError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    for router in (routes.delegation, routes.review, routes.operation):
        app.include_router(router)
    for path in _FILES:
        app.add_api_route(path, _file, include_in_schema=False)
    if tools is not None:
        security = transport_security(access)
        served = tools.streamable_http_app(
            streamable_http_path=PATH,
            json_response=True,
            stateless_http=True,
            transport_security=security,
        )
        app.add_middleware(Tools, served=UniqueKeys(served), access=access)
    app.add_middleware(BodyLimit)  # the outermost, as it is added last
    return app


async def _file(request: Request) -> Response:
    name, media_type = _FILES[request.url.path]
    return Response((_STATIC / name).read_bytes(), media_type=media_type, headers=_HEADERS)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    """Answer 400 for what is wrong with a request, 404 for what is not there, 502 for the LM.

    And 503 for what cannot be kept.
    """
    if isinstance(error, NotFoundError):
        status = 404
    elif isinstance(error, NotKeptError):
        status = 503
    else:
        status = 400 if getattr(error, "exit_code", 3) == 2 else 502
    return JSONResponse({"detail": str(error)}, status_code=status)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Answer 400 with the first fault, on one line; what was sent is not sent back."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    first = faults[0] if faults else {"loc": (), "msg": "cannot be read", "type": ""}
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    said = _SAID.get(first["type"], str(first["msg"]))
    if not place and "json" not in request.headers.get("content-type", ""):
        said = "send JSON, with the header Content-Type: application/json"
    detail = printable(": ".join(filter(None, (place, said))))
    return JSONResponse({"detail": detail[:500]}, status_code=400)
