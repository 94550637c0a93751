"""Refuse a body in which a key stands twice: a proxy in front may have read the other one."""

from collections.abc import Sequence

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..system import repeated_key
from ..text import printable


class UniqueKeys:
    """Refuse JSON of which an object has a key twice; hand on all other requests as they came.

    The body is held in memory: its size has been limited before.

    Args:
        app: what handles the request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            read = await _read(receive)
        except HTTPException as error:  # of the limits: raised here, nobody would answer it
            await _refuse(error.detail, error.status_code)(scope, receive, send)
            return
        key = repeated_key(b"".join(message.get("body", b"") for message in read))
        if key is not None:
            detail = f"an object has the key {printable(key)!r:.80} twice: remove one of them"
            await _refuse(detail, 400)(scope, receive, send)
            return
        await self._app(scope, _again(read, receive), send)


async def _read(receive: Receive) -> list[Message]:
    """Return the messages of a body, up to its end or until the caller leaves."""
    read = [await receive()]
    while read[-1].get("more_body", False):
        read.append(await receive())
    return read


def _again(read: Sequence[Message], receive: Receive) -> Receive:
    """Return what gives the messages that were read, then those that follow."""
    left = iter(read)

    async def receive_again() -> Message:
        message = next(left, None)
        return await receive() if message is None else message

    return receive_again


def _refuse(detail: str, status: int) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)
