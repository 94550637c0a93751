"""``plans``: fit when a program splits a task."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from optimize.cli.common import Commands, Parents, open_program


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "plans", parents=[parents.data], help="fit when a program splits a task"
    )
    parser.add_argument("program", help="a program's name or folder")
    parser.add_argument("--out", default="runs/plans", help="output folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fit when a program splits a task."""
    from optimize.calibration import evaluate_plans, fit_split
    from optimize.pipeline import provenance
    from task_delegator.artifact import save

    dataset, program, manifest = open_program(options)
    fit_split(program, dataset)
    chosen_on = evaluate_plans(program, dataset.multi["validation"], dataset.splits["validation"])
    fitted = {"fitted": provenance(dataset), "validation": asdict(chosen_on)}
    record = manifest | {"knobs": program.knobs.values.model_dump(), "plans": fitted}
    save(program, Path(options.out), record)
    print(json.dumps(asdict(chosen_on), indent=1))
    print(f"program: {options.out}", file=sys.stderr)
    return 0
