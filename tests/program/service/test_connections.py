"""Connections that ask for nothing take no place for ever, and stop no service."""

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from services import serving

from task_delegator.service import connections
from task_delegator.service.connections import ImpatientProtocol

SILENT = [b"", b"GET /slow HTTP/1.1\r\nHost: a"]


async def answers(sent: bytes, seconds: float) -> bytes:
    """Return all that a service says to a client that sends so much, until it closes."""
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.4)
        return "done"

    config = uvicorn.Config(app, port=0, http=ImpatientProtocol, log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()
        server.should_exit = True
        await serving


@pytest.mark.parametrize("sent", SILENT)
def test_who_sends_no_whole_head_is_cut_off(monkeypatch, sent):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    assert asyncio.run(answers(sent, 5.0)) == b""


def test_an_answer_may_take_longer_than_the_head_of_its_request(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    request = b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert asyncio.run(answers(request, 5.0)).endswith(b'"done"')


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and its files")
@pytest.mark.fault(
    "overload", "more connections than files", holds="It answers again when they are closed."
)
def test_more_idle_connections_than_files_stop_no_service(tmp_path):
    with serving(tmp_path) as (address, process):
        fill(address, process)
        assert answers_again(address)
        assert process.poll() is None


def fill(address: str, process: subprocess.Popen) -> None:
    """Open more connections than the service may open files, and close them."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    opened = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (opened + 20, hard))
    port = int(address.rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(2)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))


def answers_again(address: str) -> bool:
    for _ in range(100):
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{address}/healthz", timeout=1).status_code == 200
        time.sleep(0.1)
    return False
