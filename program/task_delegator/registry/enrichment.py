"""Enrichment: LM-written additions to agents, read from a reviewed file and applied.

``optimize enrich`` writes the file. ``enrich`` applies it: it adds samples, and fills
``use_when`` and ``do_not_use_when`` where the agent leaves them empty. It replaces nothing
that the registry itself says.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from ..system import read_json
from .agents import Agent, Registry
from .rules import Samples, Text, first_fault

FILE = "enrichment.json"  # next to agents.json
_log = logging.getLogger(__name__)


class Addition(BaseModel):
    """The additions to one agent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_request_samples: Samples = ()
    use_when: Text = ""
    do_not_use_when: Text = ""


class Enrichment(BaseModel):
    """The content of an enrichment file: its provenance, and additions by agent name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: dict[str, Any] = Field(default_factory=dict)
    agents: dict[str, Addition]


def read_enrichment(path: Path) -> Enrichment:
    """Read an enrichment file.

    Raises:
        InputError: it is missing, or no enrichment file.
    """
    try:
        return Enrichment.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error


def enrichment_next_to(agents: str | Path) -> Path | None:
    """Return the path of ``enrichment.json`` next to a registry's file; None if there is none."""
    path = Path(agents).with_name(FILE)
    return path if os.path.lexists(path) else None  # a link that leads nowhere is refused later


def load_enriched(
    path: str | Path, additions: str | Path | None = None, *, gone: bool = False
) -> Registry:
    """Return the agents of a file or folder with the additions of an enrichment file.

    Args:
        path: what ``Registry.load`` reads.
        additions: the enrichment file; None for the one that lies next to it, if there is one.
        gone: as for ``complete``.

    Raises:
        InputError: a file cannot be used.
    """
    agents, found = Registry.load(path), additions or enrichment_next_to(path)
    if found is None:
        return agents
    _log.info("%s: applied to the agents of %s", found, path)
    return enrich(agents, found, gone=gone)


def enrich(registry: Registry, path: str | Path, *, gone: bool = False) -> Registry:
    """Return the registry with the additions of an enrichment file; see ``complete``.

    Raises:
        InputError: the file is missing or broken, or names agents that are not registered.
    """
    return complete(registry, read_enrichment(Path(path)), path, gone=gone)


def complete(
    registry: Registry, written: Enrichment, path: str | Path, *, gone: bool = False
) -> Registry:
    """Return the registry with these additions.

    Args:
        registry: the agents.
        written: the additions.
        path: the file of the additions, for messages.
        gone: whether agents may have been removed since: their additions are left out, with a
            warning. A service must not keep an agent for them.

    Raises:
        InputError: an addition names an agent that is not registered, or makes one too long.
    """
    additions = written.agents
    unknown = sorted(name for name in additions if name not in registry)
    if unknown and gone:
        _log.warning("%s: additions to agents that are gone are left out: %d", path, len(unknown))
    elif unknown:
        raise InputError(
            f"{path}: no agent is named {unknown[0]!r} ({len(unknown)} unknown names in total); "
            "remove them, or run optimize enrich again"
        )
    agents = [completed(agent, additions) for agent in registry]
    for agent in agents:
        try:
            agent.check_length()
        except ValueError as error:
            raise InputError(f"{path}: with its additions {error}") from error
    return Registry(agents)


def completed(agent: Agent, additions: Mapping[str, Addition]) -> Agent:
    """Return the agent with its addition; the agent itself if there is none."""
    addition = additions.get(agent.name)
    if addition is None:
        return agent
    samples = dict.fromkeys((*agent.user_request_samples, *addition.user_request_samples))
    return agent.model_copy(
        update={
            "user_request_samples": tuple(sample for sample in samples if sample.strip()),
            "use_when": agent.use_when or addition.use_when,
            "do_not_use_when": agent.do_not_use_when or addition.do_not_use_when,
        }
    )
