"""``transfer``: fit a confidence for registries that a program was not calibrated for."""

import argparse

from optimize.cli.common import Commands, Parents, open_program, print_json, save_program
from task_delegator.cli import number_in


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "transfer",
        parents=[parents.data, parents.seed],
        help="fit a confidence for registries that a program was not calibrated for",
    )
    parser.add_argument("program", help="a program's name or folder")
    parser.add_argument(
        "--registries",
        metavar="FILE",
        help="small registries to draw from, JSON Lines (datasets/registries.jsonl)",
    )
    parser.add_argument(
        "--target-precision",
        type=number_in("(0, 1]"),
        default=0.89,
        help="target precision of everything that is assigned in registries like these, 0 to 1",
    )
    parser.add_argument("--out", default="runs/transfer", help="output folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fit a confidence for registries that a program was not calibrated for."""
    from optimize.calibration import draw_registries, fit_transfer
    from optimize.data import REGISTRIES, read_registries

    options.reranker = None
    _, program, manifest = open_program(options)
    written = read_registries(options.registries or REGISTRIES)
    fit = fit_transfer(
        program, draw_registries(written, seed=options.seed), options.target_precision
    )
    record = manifest | {"knobs": program.knobs.values.model_dump(), "transfer": fit.to_json()}
    save_program(program, options.out, record)
    print_json(fit.to_json())
    return 0
