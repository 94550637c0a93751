"""Log committed results to MLflow: ``python -m experiments.report.publish [NAME ...]``.

Those who did not run an experiment can then compare it in the UI (``make ui``).
"""

import argparse
import sys

from experiments.report import plots
from experiments.support.results import FOLDER, latest_file
from optimize.tracking import run as track
from task_delegator.errors import DelegatorError, InputError
from task_delegator.system import read_json


def publish(name: str) -> str:
    """Log a study's latest result with its constants, pictures and rows; return the run.

    Raises:
        InputError: it has no result, or the store cannot be used.
    """
    path = latest_file(name)
    if path is None:
        raise InputError(f"{name}: no result file; run python -m experiments {name}")
    result = read_json(path)
    tags = {"kind": "experiment", "commit": result["commit"]}
    with track.run(f"experiment {name}", tags) as run:
        run.log_params({"experiment": name, **result.get("config", {})})
        run.log_experiment(path, plots.of(name), result["rows"])
        return run.id


def published() -> list[str]:
    """Return the names of all studies with a result."""
    return sorted({file.stem.rpartition("-")[0] for file in FOLDER.glob("*.json")})


def main() -> int:
    """Log the named experiments, or all; return 0, or 2 where that fails."""
    parser = argparse.ArgumentParser(prog="experiments.report.publish", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all with results")
    names = parser.parse_args().names or published()
    try:
        for name in names:
            print(f"{name}: run {publish(name)}")
    except DelegatorError as error:
        print(f"experiments.report.publish: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
