"""Run the service: uvicorn on one address, which finishes its tasks when it is told to stop."""

import uvicorn

from ..errors import InputError
from .access import LOOPBACK, Access
from .app import create_app
from .connections import ImpatientProtocol
from .desk import Desk
from .tools import create_tools

DRAIN_SECONDS = 30  # for tasks under way, when the service is told to stop


def check_address(access: Access, host: str) -> None:
    """Refuse to listen to others where no token is asked for.

    Raises:
        InputError: that is so.
    """
    if access.open and host not in LOOPBACK:
        raise InputError(f"--host {host} is open to others: name the callers with --tokens FILE")


def serve(desk: Desk, access: Access, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until the process is told to stop; tasks under way are finished first.

    Args:
        desk: what answers.
        access: who may call.
        host: address to listen on; others than loopback need tokens.
        port: 0 for any free one.

    Raises:
        InputError: the address is open to others and no token is asked for.
    """
    check_address(access, host)
    app = create_app(desk, access, create_tools(desk, access))
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        host=host,
        port=port,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
    )
    uvicorn.Server(config).run()
