"""Agents in the formats of others: cards, catalogues, servers, tools, skills."""

from .catalogs import CatalogFormat, catalog, catalog_entry
from .imports import Imported, Split, agents_of_servers, read_agents
from .sources import NOT_ENTERED

__all__ = [
    "CatalogFormat",
    "NOT_ENTERED",
    "Imported",
    "Split",
    "agents_of_servers",
    "catalog",
    "catalog_entry",
    "read_agents",
]
