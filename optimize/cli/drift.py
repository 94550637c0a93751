"""``drift``: test whether the confidence agrees with recorded outcomes."""

import argparse
import sys
from dataclasses import asdict

from optimize.cli.common import Commands, Parents, print_json


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "drift", help="test whether the confidence agrees with recorded outcomes"
    )
    parser.add_argument("log", help="feedback file, JSONL")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Test whether recorded outcomes still fit the stated confidence; 1 where they do not."""
    from optimize.evaluation import drift

    found = drift(options.log)
    print_json(asdict(found))
    print(found.sentence(), file=sys.stderr)
    return 1 if found.fits is False else 0
