"""Resolve a reranker spec: the folder of a fine-tuned one, or ``st:<model or path>``."""

from functools import lru_cache

from ..errors import InputError
from ..system import Lock
from .base import Reranker
from .cross_encoder import CrossEncoder
from .sentence_transformers import SentenceTransformersReranker


def reranker(spec: str | Reranker) -> Reranker:
    """Return the reranker that a spec names, one instance per process, or the one that is given.

    Raises:
        InputError: there is no such folder or model, or its packages are missing.
    """
    if not isinstance(spec, str):
        return spec
    with _turn:
        return _named(spec)


_turn = Lock()


@lru_cache(maxsize=2)
def _named(spec: str) -> Reranker:
    kind, _, rest = spec.partition(":")
    if kind == "st" and rest:
        return SentenceTransformersReranker(rest)
    if not spec.strip():
        raise InputError("reranker: is empty; name a folder or st:MODEL")
    return CrossEncoder(spec)
