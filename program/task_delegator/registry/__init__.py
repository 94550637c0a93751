"""Agents, the registry that holds them, and what is said about an agent."""

from .agents import Agent, Registry, Tool, first_fault
from .enrichment import (
    FILE,
    Addition,
    Enrichment,
    complete,
    enrich,
    enrichment_next_to,
    read_enrichment,
)
from .texts import cut_passages, description_text, passages_of, readable, texts_of

__all__ = [
    "FILE",
    "Addition",
    "Agent",
    "Enrichment",
    "Registry",
    "Tool",
    "complete",
    "cut_passages",
    "description_text",
    "enrich",
    "enrichment_next_to",
    "first_fault",
    "passages_of",
    "read_enrichment",
    "readable",
    "texts_of",
]
