"""A limit on the body of a request, in bytes."""

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 256 * 1024  # a task of 20,000 characters takes at most 120,000, escaped


class BodyLimit:
    """Refuse a body that is too large, before all of it is held in memory.

    Args:
        app: what handles the request.
        most: bytes.
    """

    def __init__(self, app: ASGIApp, most: int = BODY_BYTES) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        read = 0

        async def count() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:  # answered by the application that reads the body
                raise HTTPException(413, f"the request is larger than {self._most:,} bytes")
            return message

        await self._app(scope, count if scope["type"] == "http" else receive, send)
