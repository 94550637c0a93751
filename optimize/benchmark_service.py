"""Benchmark the service under load, as ratios to the bare loop of delegations.

``python -m optimize.benchmark_service``

Starts the service on loopback, and asks it as so many clients at a time, each of which sends its
next request when it has its answer. Turn by turn such texts are delegated in a loop in this
process. Requests a second, and the processor's seconds of the service, are ratios to those of the
loop's tasks; so are the 50 and 99 % quantiles of the answers to the loop's median.

The clients are coroutines of aiohttp. Locust would bring a web page, gevent and its replaced
standard library, in which MLflow and DSPy do not run; a client of httpx takes a millisecond of the
processor for each request, which on two processors the service then lacks. Linux.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import count
from pathlib import Path
from time import monotonic, perf_counter, process_time, sleep
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import numpy as np

from optimize.benchmark_registry import served
from task_delegator.errors import InputError

_CLIENTS = (1, 8, 64)
_READY_SECONDS = 180
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Load:
    """What so many clients, or a loop, saw; or ratios of two such.

    Attributes:
        rate: answers a second.
        middle, late: seconds of an answer, 50 and 99 % quantile.
        processor: the processor's seconds for each.
    """

    rate: float
    middle: float
    late: float
    processor: float

    @classmethod
    def of(cls, spent: Sequence[float], seconds: float, processor: float) -> "Load":
        """Return the load of answers that took so long each."""
        middle, late = np.quantile(spent, (0.5, 0.99))
        return cls(len(spent) / seconds, float(middle), float(late), processor / len(spent))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each number of clients."""
    parser = argparse.ArgumentParser(prog="optimize.benchmark_service", description=__doc__)
    parser.add_argument("--data", default="datasets", help="a dataset directory")
    parser.add_argument("--program", default="default", help="a program's name or folder")
    parser.add_argument("--clients", type=int, nargs="+", default=_CLIENTS, help="at a time")
    parser.add_argument("--seconds", type=float, default=10, help="of each turn")
    parser.add_argument("--turns", type=int, default=3, help="of the loop and of each load")
    options = parser.parse_args(arguments)
    agents = Path(options.data) / "agents.json"
    delegate, texts = served(options.data, options.program)
    tasks = unlike(texts)
    with serving(agents, options.program) as (address, process):
        loops, loads = [], {number: [] for number in options.clients}
        for _ in range(options.turns):
            loops.append(astuple(loop(delegate, tasks, options.seconds)))
            for number, seen in loads.items():
                under = load(address, process.pid, tasks, number, options.seconds)
                seen.append(astuple(under))
    alone = Load(*np.median(loops, axis=0).tolist())
    print(f"the loop: {alone.rate:.0f} tasks/s, median {1000 * alone.middle:.0f} ms")
    for number, seen in loads.items():
        under = Load(*np.median(seen, axis=0).tolist())
        print(
            f"{number} clients over the loop: {under.rate / alone.rate:.2f} of its tasks a second, "
            f"p50 {under.middle / alone.middle:.1f} and p99 {under.late / alone.middle:.1f} times "
            f"its median, processor of the service {under.processor / alone.processor:.2f}"
        )
    return 0


def unlike(texts: Sequence[str]) -> Iterator[str]:
    """Yield texts over and over, each with a number of its own: known tasks are not encoded."""
    for number in count():
        yield f"{texts[number % len(texts)]} ({number})"


def loop(delegate: Any, tasks: Iterator[str], seconds: float) -> Load:
    """Delegate one task after the other."""
    spent: list[float] = []
    started, before = perf_counter(), process_time()
    while perf_counter() < started + seconds:
        task, began = next(tasks), perf_counter()
        delegate(task)
        spent.append(perf_counter() - began)
    return Load.of(spent, perf_counter() - started, process_time() - before)


def load(address: str, pid: int, tasks: Iterator[str], clients: int, seconds: float) -> Load:
    """Ask a service as so many clients at a time.

    Args:
        address: of the service.
        pid: of its process.
        tasks: in plain words.
        clients: that ask.
        seconds: after which no request is sent.

    Raises:
        InputError: the service did not answer a request.
    """
    before, started = _processor_seconds(pid), perf_counter()
    spent = asyncio.run(_ask(address, tasks, clients, seconds))
    return Load.of(spent, perf_counter() - started, _processor_seconds(pid) - before)


async def _ask(address: str, tasks: Iterator[str], clients: int, seconds: float) -> list[float]:
    spent: list[float] = []
    end = perf_counter() + seconds
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(address, connector=connector) as session:

        async def ask() -> None:
            while perf_counter() < end:
                task = {"task": next(tasks)}
                began = perf_counter()
                async with session.post("/delegate", json=task) as answer:
                    told = await answer.read()
                if answer.status != 200:
                    raise InputError(f"{address}: status {answer.status}: {told[:200]!r}")
                spent.append(perf_counter() - began)

        await asyncio.gather(*(ask() for _ in range(clients)))
    return spent


def _processor_seconds(pid: int) -> float:
    """Return what a process took so far; Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS  # in its own code and in the system's


@contextmanager
def serving(agents: Path, program: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run a service on loopback until the block ends; yield its address and its process.

    Raises:
        InputError: it ended, or was not ready in time.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [*("-m", "task_delegator.cli", "serve", "--agents", str(agents))]
    command += ["--program", program, "--no-lm", "--port", str(port)]
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL)
    try:
        end = monotonic() + _READY_SECONDS
        while not _is_ready(address):
            if process.poll() is not None or monotonic() > end:
                raise InputError(f"task-delegator {' '.join(command[2:])}: it is not ready")
            sleep(0.1)
        yield address, process
    finally:
        process.terminate()
        process.wait()


def _is_ready(address: str) -> bool:
    try:
        with urlopen(f"{address}/readyz", timeout=5) as answer:
            return answer.status == 200
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(main())
