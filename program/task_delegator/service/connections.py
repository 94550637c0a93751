"""Connections that ask for nothing are closed: each takes a place of one that would."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from a connection, or a request's first byte, to the end of its headers


class ImpatientProtocol(H11Protocol):
    """uvicorn's protocol, which waits for no request for ever.

    That closes connections that are idle behind an answer, not those that send half a request or
    none.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on, until the deadline of a request whose headers are not whole."""
        self._wait()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._go_on()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _go_on(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
