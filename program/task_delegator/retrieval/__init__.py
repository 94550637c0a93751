"""Retrieval: channels, fusion, and indexes that follow a registry."""

from .channels import Channels
from .fusion import CHANNELS, Scored, fuse, largest, late_scores, score, standardize
from .index import Index, Query
from .index_cache import IndexCache
from .many import Asked, score_many
from .passages import read_passages, reading_of
from .reading import ReadAhead, read_task, read_words
from .rerank import Rerank, best_places, with_scores
from .retrieve import Retrieval, Retrieve, glance
from .without import without

__all__ = [
    "Asked",
    "CHANNELS",
    "Channels",
    "Index",
    "IndexCache",
    "Query",
    "ReadAhead",
    "Rerank",
    "Retrieval",
    "Retrieve",
    "Scored",
    "best_places",
    "fuse",
    "glance",
    "largest",
    "late_scores",
    "read_passages",
    "read_task",
    "read_words",
    "reading_of",
    "score",
    "score_many",
    "standardize",
    "with_scores",
    "without",
]
