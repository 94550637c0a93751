"""Agents, their registry, lint findings, texts of an agent, enrichment."""

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
from .texts import description_text, readable, texts_of

__all__ = [
    "FILE",
    "Addition",
    "Agent",
    "Enrichment",
    "Registry",
    "Tool",
    "complete",
    "description_text",
    "enrich",
    "enrichment_next_to",
    "first_fault",
    "read_enrichment",
    "readable",
    "texts_of",
]
