"""``merge``: add recorded feedback to a dataset."""

import argparse
from dataclasses import asdict

from optimize.cli.common import Commands, Parents, print_json


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "merge", parents=[parents.data], help="add recorded outcomes to a dataset"
    )
    parser.add_argument("log", help="feedback file, JSONL")
    parser.add_argument("--split", default="train", help="train or validation")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Add recorded outcomes to a dataset."""
    from optimize.data import merge

    print_json(asdict(merge(options.log, options.data, options.split)))
    return 0
