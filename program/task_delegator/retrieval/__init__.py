"""Retrieval: channels, fusion, and indexes that follow a registry."""

from .channels import CHANNELS, Channels
from .fusion import Scored, fuse, late_scores, score
from .index import Index, Query
from .index_cache import IndexCache
from .largest_scores import largest
from .many import Asked, score_many
from .passages import read_passages, reading_of
from .reading import ReadAhead, read_task, read_words
from .rerank import Rerank, best_places, with_scores
from .retrieve import Retrieval, Retrieve, glance
from .standardize import standardize
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
