"""Benchmark a registry that lives: changes, sets of permissions, warm start, memory.

``python -m optimize.benchmark_registry``

Throughput is a ratio to a quiet registry in the same run, turn by turn. Seconds are those of the
clock, beside them those of the processor, which a busy machine does not stretch. The LM is not
asked. Where the file of many descriptions is missing, agents are put together from the sentences
of the dataset's. The first run embeds every description, which takes minutes at 10,000.
"""

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import enumerate as threads
from time import perf_counter, process_time, thread_time
from typing import TYPE_CHECKING, Any

import numpy as np

from optimize.benchmark import (
    DESCRIPTIONS,
    DESCRIPTIONS_HELP,
    THREADS,
    beside_changes,
    large_registry,
)

if TYPE_CHECKING:
    from task_delegator.delegator import Delegator
    from task_delegator.registry import Agent, Registry

_TASK = "I was charged twice and want my money back"
_CHANGES, _SETS = 15, 100  # that are timed
_GROUPS = 12  # of permissions, each needed by one in thirteen agents


@dataclass(frozen=True, slots=True)
class Start:
    """A process that starts, imports apart.

    Attributes:
        registry, program, index, answer: seconds to read the agents, to load the program, to have
            the index, and to the first answer after that.
        processor: seconds of the processor for all of them.
        private, mapped: MiB of memory that the index took, and of its file.
    """

    registry: float
    program: float
    index: float
    answer: float
    processor: float
    private: float
    mapped: float

    @property
    def seconds(self) -> float:
        """Return the seconds from the file of agents to the first answer."""
        return self.registry + self.program + self.index + self.answer


@dataclass(frozen=True, slots=True)
class Costs:
    """What something costs, medians and the most.

    Attributes:
        milliseconds, most: on the clock.
        processor: milliseconds of the processor.
    """

    milliseconds: float
    most: float
    processor: float

    @classmethod
    def of(cls, spent: Sequence[tuple[float, float]]) -> "Costs":
        """Return the costs of calls, of each the seconds on the clock and of the processor."""
        wall, processor = 1000 * np.array(spent).T
        return cls(float(np.median(wall)), float(wall.max()), float(np.median(processor)))

    def __str__(self) -> str:
        return f"{self.milliseconds:.0f} ms (most {self.most:.0f}, processor {self.processor:.0f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per row of the table."""
    parser = argparse.ArgumentParser(prog="optimize.benchmark_registry", description=__doc__)
    parser.add_argument("--data", default="datasets", help="a dataset directory")
    parser.add_argument("--program", default="default", help="a program's name or folder")
    parser.add_argument("--agents", type=int, default=10_000, help="agents of the large registry")
    parser.add_argument("--descriptions", default=DESCRIPTIONS, help=DESCRIPTIONS_HELP)
    parser.add_argument("--seconds", type=int, default=10, help="of each turn of throughput")
    parser.add_argument("--turns", type=int, default=3, help="of throughput, quiet and changing")
    parser.add_argument("--start", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    from task_delegator.system import cache_folder

    if options.start:
        print(json.dumps(asdict(start(options.start, options.program))))
        return 0

    small, texts = served(options.data, options.program)
    ratio = beside_changes(small, texts, options.seconds, options.turns)
    print(f"{THREADS} threads while an agent changes each second, over quiet: {ratio}")
    path = Path("runs") / f"benchmark-{options.agents}.json"
    path.parent.mkdir(exist_ok=True)
    large(options, small).save(path)
    for kept in cache_folder().glob("index-*.arrays"):
        kept.unlink()  # it is made anew
    for what in ("built from the cache of vectors", "warm"):
        found = started(path, options.program)
        print(
            f"{options.agents:,} agents, {what}: {found.seconds:.1f} s to an answer, imports apart "
            f"(agents {found.registry:.1f}, program {found.program:.1f}, index {found.index:.1f}, "
            f"answer {found.answer:.1f}; processor {found.processor:.1f}); index "
            f"{found.private:.0f} MiB, {found.mapped:.0f} MiB mapped"
        )
    print_costs(path, options.program)
    return 0


def print_costs(path: Path, program: str) -> None:
    """Print what changes and sets of permissions cost in a registry."""
    from task_delegator import load
    from task_delegator.registry import Registry

    delegate = load(program, Registry.load(path), allow_uncalibrated=True)
    delegate(_TASK)
    print(f"a change is visible after {changes(delegate)}")
    costs, memory = sets(delegate)
    print(f"a new set of permissions: {costs}, {memory:.2f} MiB")


def changes(delegate: "Delegator") -> Costs:
    """Time until an agent that is added, replaced or removed is seen, its embedding apart."""
    from task_delegator.embedders import encode_documents
    from task_delegator.registry import description_text

    library = delegate.retrieve.library
    spent = []
    for number in range(_CHANGES):
        for agent, change in _history(number):
            encode_documents(library.embed, [description_text(agent)])
            change(delegate.registry)
            spent.append(_timed(lambda: library.permitted({}, None)))
    return Costs.of(spent)


def _history(number: int) -> "list[tuple[Agent, Callable[[Registry], None]]]":
    from task_delegator.registry import Agent

    first, second = (
        Agent(name=f"Benchmark {number}", description=f"sells {what} {number}")
        for what in ("carpets", "lamps")
    )
    return [
        (first, lambda registry: registry.add(first)),
        (second, lambda registry: registry.replace(second)),
        (second, lambda registry: registry.remove(second.name)),
    ]


def sets(delegate: "Delegator") -> tuple[Costs, float]:
    """Time the first index of sets of permissions, and return the MiB that one takes."""
    groups = [frozenset[str](), *(frozenset({f"group {n}"}) for n in range(_GROUPS))]
    registry, library = delegate.registry, delegate.retrieve.library
    registry.swap(
        [
            agent.model_copy(update={"required_permissions": groups[place % len(groups)]})
            for place, agent in enumerate(registry)
        ]
    )
    library.permitted({}, None)
    rng, spent, memory = np.random.default_rng(0), [], []
    for _ in range(_SETS):
        held = [f"group {n}" for n in np.flatnonzero(rng.random(_GROUPS) < 0.5)]
        spent.append(_timed(lambda held=held: library.permitted({}, held)))
        index = library.permitted({}, held)
        memory.append(0 if index is None else index.nbytes)
    return Costs.of(spent), float(np.median(memory)) / 2**20


def _timed(call: Callable[[], Any]) -> tuple[float, float]:
    started, before = perf_counter(), thread_time()
    call()
    return perf_counter() - started, thread_time() - before


def started(path: Path, program: str) -> Start:
    """Return how a fresh process starts with the agents of a file."""
    command = [sys.executable, "-m", "optimize.benchmark_registry", "--start", str(path)]
    told = subprocess.run(
        [*command, "--program", program], check=True, stdout=subprocess.PIPE, text=True
    )
    return Start(**json.loads(told.stdout))


def start(path: str, program: str) -> Start:
    """Start with the agents of a file, after the imports, and return what it took."""
    import task_delegator.retrieval
    from task_delegator import load
    from task_delegator.registry import Registry

    assert task_delegator.retrieval is not None
    moments, processor = [perf_counter()], process_time()
    registry = Registry.load(path)
    moments.append(perf_counter())
    delegate = load(program, registry, allow_uncalibrated=True)
    moments.append(perf_counter())
    before = _memory()
    delegate.retrieve.library.index(delegate.retrieve.learned.values)
    moments.append(perf_counter())
    for thread in threads():
        if thread.name == "keep-index":  # it copies what it writes
            thread.join()
    after = _memory()
    started_again = perf_counter()
    delegate(_TASK)
    first, second, third, fourth = moments
    return Start(
        registry=second - first,
        program=third - second,
        index=fourth - third,
        answer=perf_counter() - started_again,
        processor=process_time() - processor,
        private=after[0] - before[0],
        mapped=after[1] - before[1],
    )


def _memory() -> tuple[float, float]:
    """Return the process's MiB that are its own, and those of files that it maps; Linux."""
    gc.collect()
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (int(facts[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def served(data: str, program: str) -> "tuple[Delegator, list[str]]":
    """Return a warm program that encodes each task each time, and validation requests."""
    from optimize.data import load_dataset
    from task_delegator import load
    from task_delegator.embedders import forget_tasks

    dataset = load_dataset(data)
    delegate = load(program, dataset.registry)
    forget_tasks(delegate.retrieve.library.embed)
    texts = [request.text for request in dataset.splits["validation"]]
    for text in texts[:10]:
        delegate(text)
    return delegate, texts


def large(options: argparse.Namespace, small: "Delegator") -> "Registry":
    """Return a registry of many agents without samples."""
    return large_registry(options.agents, options.descriptions, small.registry)


if __name__ == "__main__":
    sys.exit(main())
