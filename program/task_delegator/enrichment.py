"""Enrichment: what an LM wrote to complete a registry, in a file that people review.

``optimize enrich`` writes it, a person reads it, and a registry takes it up when told to:
samples are added, ``use_when`` and ``do_not_use_when`` fill what the agent leaves empty.
Nothing that an agent says of itself is replaced.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .agents import Agent, Registry, first_fault, read_json
from .errors import InputError

FILE = "enrichment.json"  # beside agents.json


class Addition(BaseModel):
    """What is added to one agent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_request_samples: tuple[str, ...] = ()
    use_when: str = ""
    do_not_use_when: str = ""


class Enrichment(BaseModel):
    """The content of an enrichment file: where it comes from, and additions by agent name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: dict[str, Any] = Field(default_factory=dict)
    agents: dict[str, Addition]


def read_enrichment(path: Path) -> Enrichment:
    """Read an enrichment file.

    Raises:
        InputError: it is missing or of another shape.
    """
    try:
        return Enrichment.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error


def enrich(registry: Registry, path: str | Path) -> Registry:
    """Return a registry whose agents are completed from an enrichment file.

    Raises:
        InputError: the file is missing or broken, or completes agents that are not registered.
    """
    return complete(registry, read_enrichment(Path(path)), path)


def complete(registry: Registry, written: Enrichment, path: str | Path) -> Registry:
    """Return a registry whose agents are completed; ``path`` is where the additions stand.

    Raises:
        InputError: agents are completed that are not registered.
    """
    additions = written.agents
    unknown = sorted(name for name in additions if name not in registry)
    if unknown:
        raise InputError(
            f"{path}: no agent is named {unknown[0]!r} ({len(unknown)} such names); "
            "remove them or enrich the registry again"
        )
    return Registry(completed(agent, additions) for agent in registry)


def completed(agent: Agent, additions: Mapping[str, Addition]) -> Agent:
    """Return the agent with its addition, if there is one."""
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
