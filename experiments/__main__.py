"""Run a study: ``python -m experiments NAME [--quick]``; ``--list`` names all.

A full run is saved under the commit of the clean tree that ran it and logged to MLflow with its
plots; a quick one prints its rows.
"""

import argparse
import json
import sys
from time import perf_counter

from experiments import studies
from experiments.report import plots
from experiments.report.publish import publish
from experiments.support.results import clean_commit, constants, latest, save
from task_delegator.errors import DelegatorError


def main() -> int:
    """Run one study; return 0, or the exit code of the error that stopped it (2 or 3)."""
    parser = argparse.ArgumentParser(prog="experiments", description=__doc__)
    parser.add_argument("name", nargs="?", choices=studies.names())
    parser.add_argument("--quick", action="store_true", help="small, and not saved")
    parser.add_argument("--list", action="store_true", help="name all studies, the fastest first")
    options = parser.parse_args()
    if options.list:
        print(*sorted(studies.names(), key=_seconds))
        return 0
    if options.name is None:
        parser.error("name a study")
    try:
        return _run(options.name, options.quick)
    except DelegatorError as error:
        print(f"experiments {options.name}: {error}", file=sys.stderr)
        return error.exit_code


def _run(name: str, quick: bool) -> int:
    head = "" if quick else clean_commit()
    started = perf_counter()
    study = studies.study(name)
    rows = study.run(quick)
    if quick:
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
