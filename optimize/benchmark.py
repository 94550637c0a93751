"""Benchmark start-up and latency of a delegation, as ratios.

``python -m optimize.benchmark``

Machines differ and are shared: everything is a ratio to something else that is timed in the same
run, turn by turn. The LM is not asked. Startup is compared with ``import dspy``, a delegation
with the encoder's pass over the same text: of all tasks, of those that are read in one piece, and
of those whose parts are read as well, as they may need several agents; and of all once more while
another process keeps one processor busy. Last, the tasks a second of many threads while an agent
changes each second, over those while nothing changes.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from threading import Event
from time import perf_counter, process_time, sleep
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from task_delegator.delegator import Delegator
    from task_delegator.registry import Registry

_TASK = "I was charged twice and want my money back"
THREADS = 64
DESCRIPTIONS = "../shared/data/distractors/agents.json"
DESCRIPTIONS_HELP = "agents to take these from; put together from the dataset's where it is missing"
_EDITION = ", edition "
_Requests = dict[str, list[str]]
_BUSY_SECONDS = 600  # then the busy process ends, whatever became of this one
_BUSY = f"import time\nend = time.monotonic() + {_BUSY_SECONDS}\nwhile time.monotonic() < end: pass"


@dataclass(frozen=True, slots=True)
class Startup:
    """Fresh processes from start to answer, over those that only import DSPy; medians.

    Attributes:
        wall, processor: ratios of seconds on the clock and of processor seconds.
        seconds: on the clock, to the answer.
    """

    wall: float
    processor: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Delegations in a warm process.

    Attributes:
        over_encoder: median over the median of the encoder's pass.
        spread: 95 % quantile over the median.
        encoder_spread: the same of the encoder's pass alone.
        milliseconds: median.
    """

    over_encoder: float
    spread: float
    encoder_spread: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Tasks a second, or a ratio of two such.

    Attributes:
        clock: of seconds on the clock.
        processor: of the processor's seconds, which a busy machine stretches less.
    """

    clock: float
    processor: float

    def __str__(self) -> str:
        return f"{self.clock:.2f} (of the processor {self.processor:.2f})"


@dataclass(frozen=True, slots=True)
class Throughput:
    """Tasks that are delegated together; medians of several turns.

    Attributes:
        of_encoder: tasks a second over those that the encoder alone reads, given all at once, so
            that it can read those of a length in one call; on as many threads.
        of_loop: over those that are delegated one after the other.
        loop_of_encoder: what the loop could gain at most: the encoder's tasks over the loop's.
        milliseconds: a task.
        processor_of_encoder, processor_of_loop, processor_milliseconds: the same of the
            processor's seconds, which a busy machine stretches less.
    """

    of_encoder: float
    of_loop: float
    loop_of_encoder: float
    milliseconds: float
    processor_of_encoder: float
    processor_of_loop: float
    processor_milliseconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios."""
    parser = argparse.ArgumentParser(prog="optimize.benchmark", description=__doc__)
    parser.add_argument("--data", default="datasets", help="a dataset directory")
    parser.add_argument("--program", default="default", help="a program's name or folder")
    parser.add_argument("--starts", type=int, default=5, help="fresh processes of each kind")
    parser.add_argument("--requests", type=int, default=280, help="validation requests, at most")
    parser.add_argument(
        "--many-agents",
        type=int,
        nargs="*",
        default=[],
        metavar="N",
        help="sizes of larger registries, without samples",
    )
    parser.add_argument("--descriptions", default=DESCRIPTIONS, help=DESCRIPTIONS_HELP)
    options = parser.parse_args(arguments)
    from task_delegator.stages import guessed_parts

    cold = startup(options.data, options.program, options.starts)
    print(
        f"from start to answer over import dspy: {cold.wall:.2f} on the clock, "
        f"{cold.processor:.2f} of the processor ({cold.seconds:.1f} s)"
    )
    delegate, encode, requests = _served(options.data, options.program)
    texts = requests["validation"][: options.requests]
    print_latency("a delegation", latency(delegate, encode, texts))
    for what, some in kinds(texts, partial(guessed_parts, knobs=delegate.knobs.values)).items():
        print_latency(f"{len(some)} of {len(texts)} {what}", latency(delegate, encode, some))
    with busy_process():
        print_latency("beside a busy process", latency(delegate, encode, texts))
    print(
        f"{THREADS} threads while an agent changes each second: {beside_changes(delegate, texts)}"
    )
    many = [*requests["train"], *requests["validation"]]
    print_throughput(f"{len(many)} tasks", throughput(delegate, many))
    for agents in options.many_agents:
        large = _large(delegate, large_registry(agents, options.descriptions, delegate.registry))
        print_throughput(f"{len(many)} tasks, {agents:,} agents", throughput(large, many))
    return 0


def kinds(texts: Sequence[str], parts_of: Callable[[str], Sequence[str]]) -> dict[str, list[str]]:
    """Return tasks by what a delegation reads; a median of all depends on how many are of each.

    Args:
        texts: the tasks; a kind that none is of is left out.
        parts_of: texts that a delegation looks at beside the task.
    """
    cut = [text for text in texts if parts_of(text)]
    whole = [text for text in texts if not parts_of(text)]
    found = {"read in one piece": whole, "read in parts too": cut}
    return {kind: some for kind, some in found.items() if some}


def print_latency(what: str, seen: Latency) -> None:
    """Print one line of ratios."""
    print(
        f"{what} over the encoder's pass: {seen.over_encoder:.2f}; p95 over p50: "
        f"{seen.spread:.2f}, of the encoder alone {seen.encoder_spread:.2f} "
        f"(p50 {seen.milliseconds:.1f} ms)"
    )


def print_throughput(what: str, seen: Throughput) -> None:
    """Print one line of ratios."""
    print(
        f"{what} at once: {seen.of_encoder:.2f} of the encoder's own throughput, "
        f"{seen.of_loop:.2f} times the loop's, where the encoder alone is "
        f"{seen.loop_of_encoder:.2f} times the loop's ({seen.milliseconds:.1f} ms a task); of the "
        f"processor {seen.processor_of_encoder:.2f} and {seen.processor_of_loop:.2f} "
        f"({seen.processor_milliseconds:.1f} ms)"
    )


def throughput(delegate: Any, texts: Sequence[str], turns: int = 5) -> Throughput:
    """Time the encoder, the loop and ``delegate_many`` over the same texts, in turns.

    Args:
        delegate: a program; it is warm afterwards.
        texts: tasks.
        turns: of each.
    """
    embed = delegate.retrieve.library.embed
    delegate(texts[0])
    ways: tuple[Callable[[], Any], ...] = (
        lambda: embed.encode(sorted(texts, key=len)),
        lambda: [delegate(text) for text in texts],
        lambda: delegate.delegate_many(texts),
    )
    spent = np.zeros((turns, 2, len(ways)))
    for row in spent:
        for place, way in enumerate(ways):
            before = perf_counter(), process_time()
            way()
            row[:, place] = perf_counter() - before[0], process_time() - before[1]
    (encoder, loop, many), (own, one_by_one, together) = np.median(spent, axis=0)
    return Throughput(
        of_encoder=float(encoder / many),
        of_loop=float(loop / many),
        loop_of_encoder=float(loop / encoder),
        milliseconds=float(1000 * many / len(texts)),
        processor_of_encoder=float(own / together),
        processor_of_loop=float(one_by_one / together),
        processor_milliseconds=float(1000 * together / len(texts)),
    )


def startup(data: str, program: str, starts: int) -> Startup:
    """Time fresh processes, in turns, after one that fills the cache."""
    agents = str(Path(data) / "agents.json")
    answer = [
        *("-m", "task_delegator.cli", "delegate", _TASK),
        *("--agents", agents, "--program", program, "--no-lm"),
    ]
    _spent(answer)
    spent = np.array([(_spent(["-c", "import dspy"]), _spent(answer)) for _ in range(starts)])
    (plain_wall, plain_processor), (wall, processor) = np.median(spent, axis=0)
    return Startup(wall / plain_wall, processor / plain_processor, float(wall))


def _spent(arguments: Sequence[str]) -> tuple[float, float]:
    """Return a Python process's seconds on the clock and on the processor."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return perf_counter() - started, processor


def latency(
    delegate: Callable[[str], Any], encode: Callable[[str], Any], texts: Sequence[str]
) -> Latency:
    """Time the delegation and the encoding of each text, in turns."""
    spent = np.zeros((len(texts), 2))
    for text, row in zip(texts, spent, strict=True):
        for place, answer in enumerate((delegate, encode)):
            started = perf_counter()
            answer(text)
            row[place] = perf_counter() - started
    (middle, encoder), (late, encoder_late) = np.quantile(spent, (0.5, 0.95), axis=0)
    return Latency(
        over_encoder=float(middle / encoder),
        spread=float(late / middle),
        encoder_spread=float(encoder_late / encoder),
        milliseconds=float(1000 * middle),
    )


def beside_changes(
    delegate: Any, texts: Sequence[str], seconds: int = 10, turns: int = 3, threads: int = THREADS
) -> Rate:
    """Return tasks a second beside a change each second, over those of a quiet registry.

    Args:
        delegate: a program.
        texts: tasks.
        seconds, turns: of each kind, one after the other; the median counts.
        threads: that delegate.
    """
    ways = (lambda: None, partial(change_one, delegate.registry))
    rates = np.array(
        [
            [astuple(tasks_a_second(delegate, texts, way, seconds, threads)) for way in ways]
            for _ in range(turns)
        ]
    )
    quiet, changing = np.median(rates, axis=0)
    return Rate(*map(float, changing / quiet))


def tasks_a_second(
    delegate: Callable[[str], Any],
    texts: Sequence[str],
    change: Callable[[], None],
    seconds: int = 8,
    threads: int = THREADS,
) -> Rate:
    """Return the tasks a second of several threads, beside a change each second."""
    ended = Event()

    def ask(first: int) -> int:
        asked = 0
        while not ended.is_set():
            delegate(texts[(first + asked) % len(texts)])
            asked += 1
        return asked

    with ThreadPoolExecutor(threads) as pool:
        counts = [pool.submit(ask, number * len(texts) // threads) for number in range(threads)]
        started, before = perf_counter(), process_time()
        try:
            for _ in range(seconds):
                sleep(1)
                change()
        finally:
            ended.set()
        asked = sum(count.result() for count in counts)
        return Rate(asked / (perf_counter() - started), asked / (process_time() - before))


def change_one(registry: "Registry") -> None:
    """Say another word of the first agent: one that nothing was kept for, and no longer text."""
    agent = min(registry, key=lambda one: one.name)
    said = f"{agent.description.partition(_EDITION)[0]}{_EDITION}{token_hex(4)}"
    registry.replace(agent.model_copy(update={"description": said}))


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep one processor busy."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _served(data: str, program: str) -> "tuple[Delegator, Callable[[str], Any], _Requests]":
    """Return a warm program, its encoder and requests by split, but for those of the test."""
    from optimize.data import load_dataset
    from task_delegator.artifact import load
    from task_delegator.embedders import forget_tasks

    dataset = load_dataset(data)
    delegate = load(program, dataset.registry)
    embed = delegate.retrieve.library.embed
    forget_tasks(embed)
    requests = {
        split: [request.text for request in dataset.splits[split]]
        for split in ("train", "validation")
    }
    for text in requests["validation"][:10]:
        delegate(text)
    return delegate, lambda text: embed.encode([text]), requests


def _large(program: Any, registry: "Registry") -> Any:
    """Return the program over other agents."""
    from copy import copy

    from task_delegator.retrieval import IndexCache

    large = copy(program)
    large.retrieve = copy(program.retrieve)
    large.retrieve.library = IndexCache(registry, program.retrieve.library.embed)
    return large


def large_registry(number: int, descriptions: str | Path, small: "Registry") -> "Registry":
    """Return a registry of many agents without samples.

    Args:
        number: of agents.
        descriptions: a file of agents; where it is missing, they are put together from the
            sentences of the others.
        small: the others.
    """
    from task_delegator.registry import Agent, Registry

    path = Path(descriptions)
    if path.is_file():
        rows = json.loads(path.read_text(encoding="utf-8"))[:number]
        return Registry(Agent(name=r["name"], description=r["description"]) for r in rows)
    said = [agent.description for agent in small]
    return Registry(
        Agent(
            name=f"Agent {i}",
            description=f"{i}: {said[i % len(said)]} {said[i // len(said) % len(said)]}",
        )
        for i in range(number)
    )


if __name__ == "__main__":
    sys.exit(main())
