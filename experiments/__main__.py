"""Run a study: ``python -m experiments NAME [--quick]``; ``--list`` names all.

A full run is saved under the commit of the clean tree that ran it and logged to MLflow with its
plots; a quick one, and one with another LM, prints its rows.
"""

import argparse
import inspect
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from experiments import studies
from experiments.report import plots
from experiments.report.publish import publish
from experiments.support.recorded_data import recorded, write
from experiments.support.results import clean_commit, constants, latest, save
from task_delegator.cli import run_to_exit_code
from task_delegator.errors import InputError


def main() -> int:
    """Run one study; return 0, or the exit code of what ended it."""
    parser = argparse.ArgumentParser(prog="experiments", description=__doc__)
    parser.add_argument("name", nargs="?", choices=studies.names())
    parser.add_argument("--quick", action="store_true", help="small, and not saved")
    parser.add_argument("--list", action="store_true", help="name all studies, the fastest first")
    parser.add_argument("--lm", help="ask this LM, e.g. recorded:FOLDER; nothing is saved")
    parser.add_argument(
        "--recorded-data",
        nargs=2,
        metavar=("NAME", "OUT"),
        help="write the part of a data set that a large LM's recorded answers cover",
    )
    options = parser.parse_args()
    if options.list:
        print(*sorted(studies.names(), key=_seconds))
        return 0
    if options.recorded_data is not None:
        return run_to_exit_code(
            "experiments --recorded-data", lambda: _write_part(*options.recorded_data)
        )
    if options.name is None:
        parser.error("name a study")
    return run_to_exit_code(
        f"experiments {options.name}", lambda: _run(options.name, options.quick, options.lm)
    )


def _write_part(name: str, out: str) -> int:
    dataset = recorded(name)
    write(dataset, Path(out))
    print(out, *(f"{split} {len(requests)}" for split, requests in dataset.splits.items()))
    return 0


def _run(name: str, quick: bool, lm: str | None) -> int:
    study = studies.study(name)
    if lm is not None and "lm" not in inspect.signature(study.run).parameters:
        raise InputError(f"{name}: takes no --lm; its LMs are part of the question")
    head = "" if quick or lm else clean_commit()
    started = perf_counter()
    asked: dict[str, Any] = {} if lm is None else {"lm": lm}
    rows = study.run(quick, **asked)
    if quick or lm:
        print(json.dumps(rows, indent=1))
        return 0
    path = save(name, head, constants(study), rows, perf_counter() - started)
    plots.draw(name)
    publish(name)
    print(path)
    return 0


def _seconds(name: str) -> float:
    """Return what the last full run took; nothing where there was none."""
    result = latest(name)
    return result["seconds"] if result else 0.0


if __name__ == "__main__":
    sys.exit(main())
