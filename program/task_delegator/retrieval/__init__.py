"""Score every agent for a task: channels, fusion, indexes that follow a registry."""

from .fusion import CHANNELS, fuse, largest, late_scores, standardise
from .index import Channels, Index, Query
from .index_cache import Library
from .retrieve import Retrieval, Retrieve

__all__ = [
    "CHANNELS",
    "Channels",
    "Index",
    "Library",
    "Query",
    "Retrieval",
    "Retrieve",
    "fuse",
    "largest",
    "late_scores",
    "standardise",
]
