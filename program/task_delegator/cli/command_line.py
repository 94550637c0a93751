"""The command ``task-delegator``: the list of its commands, and how one is run."""

import argparse
from collections.abc import Sequence

from ..system import draw_bars_on_terminals_only
from . import batch, cache, calibrate, delegate, exchange, feedback, fetch, lint, serve
from .ending import run_to_exit_code
from .options import program_options

_COMMANDS = (delegate, batch, feedback, calibrate, serve, exchange, cache, fetch, lint)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 2 on bad input, or 3 where LM or embedder fail.

    Who stops it with Ctrl-C gets 130, as from a shell.
    """
    parsed = parser().parse_args(arguments)
    draw_bars_on_terminals_only()
    return run_to_exit_code("task-delegator", lambda: parsed.run(parsed))


class _Version(argparse.Action):
    """Print the version, which is looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('task-delegator')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="task-delegator",
        description="Delegate tasks in plain words to the right agent of a registry.",
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    program = program_options()
    for command in _COMMANDS:
        command.add_to(commands, program)
    return whole
