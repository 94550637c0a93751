"""``task-delegator fetch``: weights of an embedder that is not part of a package."""

import argparse
from typing import Any

from .options import tell


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    fetch = commands.add_parser("fetch", help="assemble an embedder in the user's cache, once")
    fetch.add_argument("name", choices=("mpnet",), help="mpnet: all-mpnet-base-v2 in 79 MB")
    fetch.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..embedders import fetch_mpnet

    print(fetch_mpnet(tell))
    return 0
