"""Run the service: uvicorn on one address, which finishes its tasks when it is told to stop."""

import logging
import socket

import uvicorn

from ..errors import AddressError, InputError
from .access import LOOPBACK, Access
from .app import create_app
from .connections import ImpatientProtocol
from .desk import Desk
from .tools import create_tools

_log = logging.getLogger(__name__)

DRAIN_SECONDS = 30  # for tasks under way, when the service is told to stop


def check_address(access: Access, host: str) -> None:
    """Refuse to listen to others where no token is asked for.

    Raises:
        InputError: that is so.
    """
    if access.open and host not in LOOPBACK:
        raise InputError(f"--host {host} is open to others: name the callers with --tokens FILE")


def listen(host: str = "127.0.0.1", port: int = 8000) -> socket.socket:
    """Return a socket that holds an address; nothing is accepted before ``serve``.

    Args:
        host: address to listen on.
        port: 0 for any free one.

    Raises:
        AddressError: it is in use, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
    except OSError as error:
        held.close()
        raise AddressError(
            f"--host {host} --port {port}: {error.strerror or error}: choose another"
        ) from error
    return held


def serve(desk: Desk, access: Access, listening: socket.socket) -> None:
    """Serve until the process is told to stop; tasks under way are finished first.

    Args:
        desk: what answers.
        access: who may call.
        listening: holds the address (``listen``); others than loopback need tokens.

    Raises:
        InputError: the address is open to others and no token is asked for.
    """
    host, port, *_ = listening.getsockname()
    check_address(access, host)
    app = create_app(desk, access, create_tools(desk, access))
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
    )
    shown = f"[{host}]" if ":" in host else host
    _log.info("http://%s:%d is served from now on, until Ctrl-C", shown, port)
    with listening:
        uvicorn.Server(config).run(sockets=[listening])
