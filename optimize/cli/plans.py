"""``plans``: fit when a program splits a task."""

import argparse
from dataclasses import asdict

from optimize.cli.common import Commands, Parents, open_program, print_json, save_program
from task_delegator.errors import InputError


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "plans", parents=[parents.data, parents.reranker], help="fit when a program splits a task"
    )
    parser.add_argument("program", help="a program's name or folder")
    parser.add_argument("--out", default="runs/plans", help="output folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fit when a program splits a task."""
    from optimize.calibration import evaluate_plans, few_for_several, fit_split
    from optimize.pipeline import provenance

    dataset, program, manifest = open_program(options)
    if (few := few_for_several(dataset)) is not None:
        raise InputError(f'{dataset.path}: {few}: add tasks, each with its "split"')
    fit_split(program, dataset)
    validation = dataset.multi["validation"], dataset.splits["validation"]
    on_validation = evaluate_plans(program, *validation)
    fitted = {"fitted": provenance(dataset), "validation": asdict(on_validation)}
    record = manifest | {"knobs": program.knobs.values.model_dump(), "plans": fitted}
    save_program(program, options.out, record)
    print_json(asdict(on_validation))
    return 0
