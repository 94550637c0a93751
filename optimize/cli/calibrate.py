"""``calibrate``: fit a program's confidence to another registry."""

import argparse
from dataclasses import asdict

from optimize.cli.common import (
    Commands,
    Parents,
    open_program,
    out_of_scope_share,
    print_json,
    save_program,
)
from task_delegator.cli import number_in


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "calibrate",
        parents=[parents.data, parents.reranker],
        help="fit a program's confidence to another registry",
    )
    parser.add_argument("program", help="a program's name or folder")
    parser.add_argument(
        "--target-precision",
        type=number_in("(0, 1]"),
        default=0.95,
        help="target precision of everything that is assigned, 0 to 1",
    )
    out_of_scope_share(parser)
    parser.add_argument(
        "--delta",
        type=number_in("(0, 1)"),
        default=0.1,
        help="probability of missing the target precision that is accepted, 0 to 1",
    )
    parser.add_argument("--out", default="runs/calibrated", help="output folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fit a program's confidence to another registry."""
    from optimize.calibration import calibrate, fit_split
    from optimize.pipeline import provenance

    dataset, program, manifest = open_program(options)
    calibration = calibrate(
        program, dataset, options.target_precision, options.out_of_scope_share, options.delta
    )
    fit_split(program, dataset)
    record = {
        **provenance(dataset),
        "embedder": manifest["embedder"],
        "reranker": manifest.get("reranker"),
        "knobs": program.knobs.values.model_dump(),
        "calibration": calibration.to_json(),
        "calibrated_from": manifest,  # its scores and LM stage are those of another registry
    }
    save_program(program, options.out, record)
    print_json(asdict(calibration.promise))
    return 0
