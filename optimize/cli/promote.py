"""``promote``: make a program the champion in MLflow's registry."""

import argparse
import sys

from optimize.cli.common import (
    Commands,
    Parents,
    optional_lm,
    out_of_scope_share,
    refuse_both,
)
from task_delegator.errors import InputError
from task_delegator.text import printable

_USED_UP = "the test split decided, so that it flatters the program that won a little"


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "promote",
        parents=[parents.data, parents.lm, parents.no_lm],
        help="make a program the champion if it beats the current one",
    )
    parser.add_argument("source", nargs="?", help="a program's name or folder, or an MLflow run id")
    parser.add_argument("--name", default="delegator", help="name of the registered model")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="test",
        help="whose requests decide; compile fits a program on train and validation",
    )
    out_of_scope_share(parser)
    parser.add_argument("--force", action="store_true", help="promote whatever the comparison says")
    parser.add_argument("--rollback", action="store_true", help="restore the previous champion")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make a program champion if it beats the present one; 1 where it does not."""
    from optimize.data import load_dataset
    from optimize.tracking import Models, promote, roll_back

    refuse_both(options)
    if options.rollback == (options.source is not None):
        raise InputError("give either a program to promote or --rollback")
    if options.rollback:
        done = roll_back(Models(options.name))
    else:
        dataset = load_dataset(options.data, enriched=options.enriched)
        lm = optional_lm(options)
        share = options.out_of_scope_share
        done = promote(
            options.source, dataset, Models(options.name), lm, options.force, options.split, share
        )
    if done.comparison is not None:
        print(printable(done.comparison.sentence()), file=sys.stderr)
        if options.split == "test":
            print(f"{_USED_UP}; measure it on requests of its own", file=sys.stderr)
    if not done.promoted:
        print(
            f"not promoted: {done.reason}; version {done.version} stays champion; --force overrides"
        )
        return 1
    print(f"champion: models:/{done.name}@champion is version {done.version}")
    return 0
