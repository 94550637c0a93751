"""``task-delegator cache``: what is kept on this machine."""

import argparse
from typing import Any

from ..errors import InputError
from ..system import cache_folder
from .options import tell


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    cache = commands.add_parser("cache", help="say what is kept on this machine, or delete it")
    cache.add_argument("--clear", action="store_true", help="delete it; it is made again on demand")
    cache.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..embedders import clear_cache, kept_files

    try:
        held = kept_files()
        print(f"{cache_folder()}: {sum(file.size for file in held):,} bytes")
        for file in held:
            entries = "" if file.entries is None else f", {file.entries:,} entries"
            print(f"  {file.name}: {file.size:,} bytes{entries}")
        if options.clear:
            clear_cache()
            tell(f"deleted {len(held)} files")
    except (OSError, RuntimeError) as error:
        raise InputError(f"the cache cannot be used: {error}") from error
    return 0
