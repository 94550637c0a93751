"""``task-delegator lint``: weaknesses of a registry."""

import argparse
from typing import Any

from ..errors import InputError
from ..text import printable
from .options import tell

_NAMED = 10  # agents of a finding that are named


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    lint = commands.add_parser("lint", help="report weaknesses of a registry")
    lint.add_argument("--agents", metavar="FILE", required=True, help="the registry")
    lint.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..registry import Registry

    registry = Registry.load(options.agents)
    if not registry:
        raise InputError(f"{options.agents}: the registry is empty; add agents: a JSON list")
    findings = registry.lint()
    for finding in findings:
        named, more = finding.agents[:_NAMED], len(finding.agents) - _NAMED
        names = ", ".join(named) + (f" and {more} more" if more > 0 else "")
        print(printable(f"{finding.rule}: {names}: {finding.detail}"))
    tell("1 finding" if len(findings) == 1 else f"{len(findings)} findings")
    return 0
