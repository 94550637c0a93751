"""Agents, their registry, lint findings, formats of others, texts of an agent, enrichment."""

from .agents import Agent, Registry
from .enrichment import (
    FILE,
    Addition,
    Enrichment,
    complete,
    enrich,
    enrichment_next_to,
    load_enriched,
    read_enrichment,
)
from .formats import catalog, catalog_entry, read_agents
from .permissions import permission_set
from .rules import (
    AGENT_CHARACTERS,
    NAME_CHARACTERS,
    first_fault,
    misspelled,
    name_key,
    no_such_agent,
)
from .texts import (
    cut_passages,
    description_text,
    passages_of,
    readable,
    searched_name,
    texts_of,
    tool_names,
)
from .tool import Tool
from .watch import Watch, stamps

__all__ = [
    "AGENT_CHARACTERS",
    "FILE",
    "NAME_CHARACTERS",
    "Addition",
    "Agent",
    "Enrichment",
    "Registry",
    "Tool",
    "Watch",
    "catalog",
    "catalog_entry",
    "complete",
    "cut_passages",
    "description_text",
    "enrich",
    "enrichment_next_to",
    "first_fault",
    "misspelled",
    "load_enriched",
    "name_key",
    "no_such_agent",
    "passages_of",
    "permission_set",
    "read_agents",
    "read_enrichment",
    "readable",
    "searched_name",
    "stamps",
    "texts_of",
    "tool_names",
]
