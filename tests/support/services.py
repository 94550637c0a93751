"""A service of its own process, for tests that kill it or fill it."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from small import office_registry


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run the service over an office's agents; yield its address and process once it is ready."""
    office_registry().save(folder / "agents.json")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "task_delegator.cli", "serve", "--agents", "agents.json"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), *options], cwd=folder, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address}/readyz").status_code == 200:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield address, process
    finally:
        process.kill()
        process.wait()
