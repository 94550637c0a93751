"""``task-delegator fetch``: weights of an embedder that is not part of a package."""

import argparse
from typing import Any

from .options import tell

_EMBEDDERS = {
    "mpnet": "all-mpnet-base-v2 in 79 MB, English",
    "e5": "multilingual-e5-small in 85 MB, for other languages",
}


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    fetch = commands.add_parser("fetch", help="assemble an embedder in the user's cache, once")
    told = "; ".join(f"{name}: {about}" for name, about in _EMBEDDERS.items())
    fetch.add_argument("name", choices=tuple(_EMBEDDERS), help=told)
    fetch.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..embedders import fetch_embedder

    print(fetch_embedder(options.name, tell))
    return 0
