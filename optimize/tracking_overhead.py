"""Measure what tracking costs a compilation: ``python -m optimize.tracking_overhead``.

The same compilation without an LM, whose work is the shortest, is run turn by turn with a fresh
store and with tracking off, in one process after a first that is not timed. Beside the clock it
reads the processor's seconds, which other work on the machine touches less.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from unittest.mock import patch

from optimize.config import Options
from optimize.data import Dataset, load_dataset
from optimize.pipeline import compile_program
from optimize.tracking import run as track

Times = tuple[float, float]  # seconds of the clock, and of the processor


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratio of the medians."""
    parser = argparse.ArgumentParser(prog="optimize.tracking_overhead", description=__doc__)
    parser.add_argument("--data", default="datasets", help="a dataset directory")
    parser.add_argument("--preset", choices=("quick", "full"), default="quick")
    parser.add_argument("--turns", type=int, default=3, help="compilations of each kind")
    options = parser.parse_args(arguments)
    dataset = load_dataset(Path(options.data).resolve())
    on, off = overhead(dataset, options.preset, options.turns)
    for place, name in enumerate(("clock", "processor")):
        tracked, alone = (median(times[place] for times in taken) for taken in (on, off))
        sys.stdout.write(
            f"a compilation with tracking over one without, {name}: {tracked / alone:.2f} "
            f"({tracked:.1f} s over {alone:.1f} s, medians of {len(on)})\n"
        )
    return 0


def overhead(dataset: Dataset, preset: str, turns: int) -> tuple[list[Times], list[Times]]:
    """Return the times of each compilation with tracking, and of each without."""
    _seconds(dataset, preset, tracked=True)
    on, off = [], []
    for _ in range(turns):
        off.append(_seconds(dataset, preset, tracked=False))
        on.append(_seconds(dataset, preset, tracked=True))
    return on, off


def _seconds(dataset: Dataset, preset: str, *, tracked: bool) -> Times:
    with TemporaryDirectory() as folder:
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        with patch.dict(os.environ, store), _inside(folder):
            if tracked:
                with track.run("before", {}):  # tables of a fresh database are not the work
                    pass
            started = perf_counter(), process_time()
            with patch.object(track, "run", track.run if tracked else _untracked):
                compile_program(dataset, Options(Path(folder) / "program", preset=preset), None)
            return perf_counter() - started[0], process_time() - started[1]


@contextmanager
def _untracked(name: str, tags: Mapping[str, str], resume_id: str | None) -> Iterator[track.Run]:
    """Stand for a run whose store is gone: nothing is tracked."""
    off = track.Run(resume_id or name, str(len(tags)))
    off.store_failed = True
    yield off


@contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Work in a folder: MLflow puts artifacts of a local database into the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    sys.exit(main())
