"""Agents in the formats of others: cards, catalogues, servers, tools, skills."""

from .catalogs import CatalogFormat, catalog
from .imports import Imported, Split, read_agents

__all__ = ["CatalogFormat", "Imported", "Split", "catalog", "read_agents"]
