"""Embedders: one file each, the protocol, specs, the cache of encodings."""

from .base import Embedder, Encoded
from .cache import VectorCache, clear_cache, kept_files
from .cached import encode_documents, maker_of, remembering
from .fetch import fetch_mpnet
from .minilm import MiniLM
from .specs import PACKAGED, embedder

__all__ = [
    "PACKAGED",
    "Embedder",
    "Encoded",
    "MiniLM",
    "VectorCache",
    "clear_cache",
    "embedder",
    "encode_documents",
    "fetch_mpnet",
    "kept_files",
    "maker_of",
    "remembering",
]
