"""Measure again, in one run, what a table of an earlier state of this project holds.

``python -m optimize.benchmark_table`` takes some eight minutes on an idle machine and writes
``docs/benchmark.json``, from which ``python -m experiments.report`` makes the table of
docs/serving.md. Seconds are those of the clock, and a busy machine stretches them: the file says
how busy it was. The earlier figures come from another run, so that ratios within a column say more
than those between columns.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic, perf_counter, sleep
from typing import Any
from unittest.mock import patch

import cloudpickle
import numpy as np

from optimize import benchmark_registry
from optimize.benchmark import (
    THREADS,
    beside_changes,
    busy_process,
    change_one,
    latency,
    tasks_a_second,
)
from optimize.provenance import commit

RECORDED = Path("docs/benchmark.json")
_TASK = "I was charged twice and want my money back"
_SECONDS = 20  # of each turn of threads
_DEADLINE = 5.0  # seconds for a task whose LM hangs
_CHILDREN = 20
_CHILD_SECONDS = 60  # then a child hangs
_BATCH = 2000  # tasks of a batch that is killed
_NEW_SETS = 5  # of permissions, whose first task is timed

Row = tuple[str, str]  # what the earlier state did, and what this one does


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all rows and write them."""
    parser = argparse.ArgumentParser(prog="optimize.benchmark_table", description=__doc__)
    parser.add_argument("--data", default="datasets", help="a dataset directory")
    parser.add_argument("--program", default="default", help="a program's name or folder")
    parser.add_argument("--agents", type=int, default=10_000, help="agents of the large registry")
    parser.add_argument("--descriptions", default="../shared/data/distractors/agents.json")
    parser.add_argument("--out", type=Path, default=RECORDED)
    options = parser.parse_args(arguments)
    before, rows = os.getloadavg()[0], []
    for measure in (threads, neighbor, hanging_lm, permission_sets, many_agents, processes):
        for what, (old, new) in measure(options).items():
            rows.append({"what": what, "before": old, "now": new})
            print(f"{what}: {new} (before: {old})", flush=True)
    facts = {
        "commit": commit([str(options.out)]),
        "processors": os.cpu_count(),
        "load": [round(before, 1), round(os.getloadavg()[0], 1)],
    }
    options.out.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


def served(options: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return a warm program over the dataset's agents, and validation requests."""
    return benchmark_registry.served(options.data, options.program)


def threads(options: argparse.Namespace) -> dict[str, Row]:
    """Compare many threads with one, and with many beside a change each second."""
    delegate, texts = served(options)
    spent: list[float] = []

    def timed(text: str) -> None:
        started = perf_counter()
        delegate(text)
        spent.append(perf_counter() - started)

    def rate(number: int, change: Callable[[], None]) -> float:
        spent.clear()
        return tasks_a_second(timed, texts, change, _SECONDS, number).clock

    alone = rate(1, lambda: None)
    quiet = rate(THREADS, lambda: None)
    changing = rate(THREADS, lambda: change_one(delegate.registry))
    middle, late = np.quantile(spent, (0.5, 0.95))
    ratio = beside_changes(delegate, texts)
    return {
        f"{THREADS} threads, quiet registry": (
            "58 tasks/s, 47 with one thread (1.2 times)",
            f"{quiet:.0f} tasks/s, {alone:.0f} with one thread ({quiet / alone:.1f} times)",
        ),
        f"{THREADS} threads, an agent changes each second": (
            "2.4 tasks/s, p50 12 s, p95 58 s",
            f"{changing:.0f} tasks/s, p50 {middle:.1f} s, p95 {late:.1f} s; in turns over a minute "
            f"{ratio.clock:.2f} of quiet, by the processor's seconds {ratio.processor:.2f}",
        ),
    }


def neighbor(options: argparse.Namespace) -> dict[str, Row]:
    """Time delegations beside a process that keeps one processor busy."""
    delegate, texts = served(options)
    quiet = latency(delegate, delegate.look, texts[:100]).milliseconds
    with busy_process():
        busy = latency(delegate, delegate.look, texts[:100]).milliseconds
    return {
        "median task beside a busy process": (
            "407 ms, 24 ms without it",
            f"{busy:.0f} ms, {quiet:.0f} ms without it",
        )
    }


@contextmanager
def silent_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """Accept connections and never answer; yield the address, and the connections so far."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:  # it is closed
                    return

        Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", held
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()


def hanging_lm(options: argparse.Namespace) -> dict[str, Row]:
    """Delegate two tasks whose LM never answers."""
    import dspy

    from optimize.data import load_dataset
    from task_delegator import load

    with silent_server() as (address, held):
        lm = dspy.LM("openai/gpt-4o-mini", api_base=address, api_key="key", cache=False)
        registry = load_dataset(options.data).registry
        delegate = load(options.program, registry, lm=lm, timeout=_DEADLINE)
        delegate.knobs.set({"lm.ask_settled": True})
        delegate.warm_up()
        seconds, requests = [], []
        for _ in range(2):
            started, before = perf_counter(), len(held)
            delegate(_TASK)
            seconds.append(perf_counter() - started)
            requests.append(len(held) - before)
    return {
        "an LM that hangs": (
            "487 s a task",
            f"{seconds[0]:.1f} s with a deadline of {_DEADLINE:g} s, connections: {requests[0]}; "
            f"the next task {seconds[1]:.1f} s, connections: {requests[1]}",
        )
    }


def permission_sets(options: argparse.Namespace) -> dict[str, Row]:
    """Time the first task of new sets of permissions, few agents and many."""
    small, _ = served(options)
    first, mib = _first_tasks(small)
    many = benchmark_registry.large(options, small)
    from task_delegator import load

    large = load(options.program, many, allow_uncalibrated=True)
    large(_TASK)
    first_large, mib_large = _first_tasks(large)
    return {
        "first task of a set of permissions, 70 agents": (
            "0.5 s, 22 MB a set",
            f"{first:.2f} s, {mib:.1f} MB a set",
        ),
        f"the same, {options.agents:,} agents": (
            "4 to 6 s, 210 MB a set",
            f"{first_large:.2f} s, {mib_large:.1f} MB a set",
        ),
    }


def _first_tasks(delegate: Any) -> tuple[float, float]:
    """Return the median seconds of the first task of a set, and the MB that one takes."""
    _, mib = benchmark_registry.sets(delegate)
    rng, spent = np.random.default_rng(), []  # with a seed, a head would be kept from before
    for _ in range(_NEW_SETS):
        held = [f"group {place}" for place in np.flatnonzero(rng.random(12) < 0.5)]
        started = perf_counter()
        delegate(_TASK, permissions=held)
        spent.append(perf_counter() - started)
    return median(spent), mib * 2**20 / 1e6


def many_agents(options: argparse.Namespace) -> dict[str, Row]:
    """Start over many agents, with nothing kept and with all; time a change."""
    from task_delegator import load
    from task_delegator.registry import Registry

    small, _ = served(options)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "agents.json"
        benchmark_registry.large(options, small).save(path)
        with patch.dict(os.environ, {"XDG_CACHE_HOME": folder}):
            cold, warm = (benchmark_registry.started(path, options.program) for _ in range(2))
            delegate = load(options.program, Registry.load(path), allow_uncalibrated=True)
            delegate(_TASK)
            seen = benchmark_registry.changes(delegate)
    return {
        f"first answer over {options.agents:,} agents, nothing kept": (
            "79 s",
            f"{cold.seconds:.0f} s (processor {cold.processor:.0f} s)",
        ),
        "the same, warm": ("6.5 s", f"{warm.seconds:.1f} s (processor {warm.processor:.1f} s)"),
        "memory": (
            "866 MB",
            f"{warm.private * 1.048576:.0f} MB and {warm.mapped * 1.048576:.0f} MB of a file that "
            "processes share",
        ),
        "a change is visible": ("4.5 s", f"{seen.milliseconds / 1000:.2f} s"),
    }


def processes(options: argparse.Namespace) -> dict[str, Row]:
    """Kill a batch and go on; fork and pickle; ask for the calibration under change."""
    delegate, texts = served(options)
    kept = resumed(options, texts)
    hung = _CHILDREN - forked(delegate)
    twin = cloudpickle.loads(cloudpickle.dumps(delegate))  # DSPy makes signatures at run time
    same = twin(_TASK).agent == delegate(_TASK).agent
    errors, calls = calibrated_calls(delegate)
    return {
        "a batch that is killed": ("begins anew", kept),
        "children that hang, forked while threads delegate": (
            "2 of 10",
            f"{hung} of {_CHILDREN}",
        ),
        "cloudpickle, which DSPy's signatures need": (
            "TypeError",
            "answers the same" if same else "answers otherwise",
        ),
        "`calibrated()` while agents change": (
            "KeyError in 108 of 825,000 calls",
            f"{errors} errors in {calls:,} calls",
        ),
    }


def resumed(options: argparse.Namespace, texts: Sequence[str]) -> str:
    """Kill a batch at work and give the same command again; say what was kept."""
    agents = str((Path(options.data) / "agents.json").resolve())
    with TemporaryDirectory() as folder:
        tasks, out = Path(folder) / "tasks.jsonl", Path(folder) / "out.jsonl"
        lines = (json.dumps({"task": f"{texts[n % len(texts)]} ({n})"}) for n in range(_BATCH))
        tasks.write_text("\n".join(lines) + "\n", encoding="utf-8")
        batch = [*("-m", "task_delegator.cli", "batch", str(tasks), str(out))]
        command = [sys.executable, *batch, "--agents", agents, "--no-lm"]
        journal = out.with_name("out.jsonl.partial")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            end = monotonic() + 120
            while _lines(journal) < _BATCH // 4 and process.poll() is None and monotonic() < end:
                sleep(0.05)
            process.send_signal(signal.SIGKILL)
        kept = _lines(journal) - 1  # the first says what it is of
        subprocess.run(command, check=True, capture_output=True)
        return f"goes on: {kept:,} of {_BATCH:,} tasks were kept, {_lines(out):,} rows in the end"


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def forked(delegate: Any) -> int:
    """Return how many children end that are forked while threads delegate, and delegate too."""
    ended = Event()

    def work() -> None:
        while not ended.is_set():
            delegate(_TASK)

    workers = [Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        return sum(_ends(delegate) for _ in range(_CHILDREN))
    finally:
        ended.set()
        for worker in workers:
            worker.join()


def _ends(delegate: Any) -> bool:
    """Tell whether a child that is forked now delegates a task and ends."""
    child = os.fork()
    if not child:
        signal.alarm(_CHILD_SECONDS)
        code = 1
        try:
            delegate(_TASK)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def calibrated_calls(delegate: Any, seconds: float = 10.0) -> tuple[int, int]:
    """Return the errors and the calls of ``calibrated`` while an agent comes and goes."""
    from task_delegator.registry import Agent

    registry, ended = delegate.registry, Event()
    more = Agent(name="Benchmark", description="sells carpets")

    def change() -> None:
        while not ended.is_set():
            registry.add(more)
            registry.remove(more.name)

    changing = Thread(target=change)
    changing.start()
    errors = calls = 0
    end = monotonic() + seconds
    while monotonic() < end:
        try:
            delegate.calibrated()
        except (KeyError, RuntimeError):
            errors += 1
        calls += 1
    ended.set()
    changing.join()
    return errors, calls


if __name__ == "__main__":
    sys.exit(main())
