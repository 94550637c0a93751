"""Limits on the body of a request: bytes, and the time that it takes to arrive."""

import asyncio

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 256 * 1024  # a task of 20,000 characters takes at most 120,000, escaped
BODY_SECONDS = 10.0  # a service that is told to stop waits for no body longer than this


class BodyLimit:
    """Refuse a body that is too large, before all of it is held in memory, or too slow.

    Args:
        app: what handles the request.
        most: bytes.
        seconds: from the first read to the last byte.
    """

    def __init__(self, app: ASGIApp, most: int = BODY_BYTES, seconds: float = BODY_SECONDS) -> None:
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            receive = _Body(receive, self._most, self._seconds).receive
        await self._app(scope, receive, send)


class _Body:
    """The body of one request, as it arrives.

    What is raised is answered by the application that reads the body.
    """

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self._most, self._seconds = receive, most, seconds
        self._read = 0
        self._deadline: float | None = None
        self._whole = False

    async def receive(self) -> Message:
        if self._whole:  # what follows is that the caller leaves, whenever that is
            return await self._receive()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            said = f"the body of the request did not arrive within {self._seconds:g} seconds"
            raise HTTPException(408, said) from None
        self._read += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._read > self._most:
            raise HTTPException(413, f"the request is larger than {self._most:,} bytes")
        return message
