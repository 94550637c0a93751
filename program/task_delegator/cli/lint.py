"""``task-delegator lint``: weaknesses of a registry."""

import argparse
from typing import Any

from .options import tell


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    lint = commands.add_parser("lint", help="report weaknesses of a registry")
    lint.add_argument("--agents", metavar="FILE", required=True, help="a JSON list of agents")
    lint.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..registry import Registry
    from ..text import printable

    findings = Registry.load(options.agents).lint()
    for finding in findings:
        print(printable(f"{finding.rule}: {', '.join(finding.agents)}: {finding.detail}"))
    tell(f"{len(findings)} findings")
    return 0
