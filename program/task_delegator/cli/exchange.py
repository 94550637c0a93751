"""The commands ``import`` and ``export``: registries in the formats of others."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system import write_text
from .options import names_in, tell

if TYPE_CHECKING:
    from ..registry import Agent

_NAMED = 5  # agents of a line


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the commands to those of the command line."""
    read = commands.add_parser("import", help="make a registry of cards, catalogues and tools")
    read.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="A2A cards, ai-catalog.json, MCP server.json with tools.json, OpenAI tools, SKILL.md, "
        "*.agent.md, agents as JSON, JSONL or YAML; or folders of them",
    )
    read.add_argument("--out", metavar="FILE", required=True, help="the registry to write")
    read.add_argument(
        "--split",
        choices=["cards", "skills"],
        default="cards",
        help="one agent for each card, server and namespace, or one for each skill and tool of it; "
        "default: cards",
    )
    read.add_argument(
        "--namespace",
        metavar="NAME",
        nargs="?",
        const="",
        help="put NAME before each agent's name, or who offers it, where no NAME is given; "
        "default: names stay, and two of the same are refused",
    )
    read.add_argument(
        "--require",
        metavar="A,B",
        default="",
        help="permissions that a caller needs for each agent; what foreign files say of "
        "permissions is not taken over; default: none",
    )
    read.add_argument(
        "--keep-going",
        action="store_true",
        help="write what can be read, though something is refused; the exit code stays 2",
    )
    read.set_defaults(run=_import)
    _add_export(commands)


def _add_export(commands: Any) -> None:
    write = commands.add_parser("export", help="write a registry as A2A cards or an ARD catalogue")
    write.add_argument("--agents", metavar="FILE", required=True, help="the registry")
    write.add_argument("--out", metavar="FILE", required=True, help="JSON file to write")
    write.add_argument(
        "--format",
        choices=["a2a", "ard"],
        default="ard",
        help="a list of A2A 1.0 cards, or an ai-catalog.json; default: ard",
    )
    write.add_argument(
        "--url",
        required=True,
        help="address under which agents answer that have none of their own",
    )
    write.add_argument(
        "--permissions",
        metavar="A,B",
        help="write only what a caller with these permissions may use; default: all agents",
    )
    write.set_defaults(run=_export)


def _import(options: argparse.Namespace) -> int:
    from ..registry import Registry, read_agents

    require = names_in(options.require)
    read = read_agents(
        options.sources, split=options.split, namespace=options.namespace, require=require
    )
    for line in (*read.notes, *_kept_permissions(read.agents), *read.refused):
        tell(line)
    if read.refused and not (options.keep_going and read.agents):
        tell(f"{read.refusals} refused: nothing is written; --keep-going writes the rest")
        return 2
    Registry(read.agents).save(options.out)
    made = ", ".join(f"{count} {name}" for name, count in sorted(read.formats.items()))
    refused = f"; {read.refusals} refused" if read.refused else ""
    tell(f"wrote {len(read.agents)} agents to {options.out} ({made or 'none'}){refused}")
    return 2 if read.refused else 0


def _kept_permissions(agents: "Iterable[Agent]") -> list[str]:
    """Return a line about agents whose files, in our own fields, say what a caller needs."""
    ours = [a for a in agents if "imported" not in (a.model_extra or {})]
    guarded = [f"{a.name!r}" for a in ours if a.required_permissions]
    if not guarded:
        return []
    more = f" and {len(guarded) - _NAMED} more" if len(guarded) > _NAMED else ""
    names = ", ".join(guarded[:_NAMED])
    return [f"required_permissions are kept as files of agents say: {names}{more}"]


def _export(options: argparse.Namespace) -> int:
    from ..registry import Registry, catalog

    caller = None if options.permissions is None else names_in(options.permissions)
    agents = [agent for agent in Registry.load(options.agents) if agent.permits(caller)]
    written = catalog(agents, options.format, options.url)
    write_text(Path(options.out), json.dumps(written, indent=1) + "\n")
    guarded = sum(bool(agent.required_permissions) for agent in agents)
    private = f", {guarded} of which need permissions: what reads it shows them" if guarded else ""
    tell(f"wrote {len(agents)} agents to {options.out}{private}")
    return 0
