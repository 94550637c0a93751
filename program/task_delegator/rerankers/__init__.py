"""Rerankers: a task and an agent read together; one file each, the protocol, specs."""

from .base import Reranker
from .cross_encoder import HEAD, MANIFEST, MODEL, VOCABULARY, CrossEncoder
from .specs import reranker
from .texts import SAMPLES, agent_text

__all__ = [
    "HEAD",
    "MANIFEST",
    "MODEL",
    "SAMPLES",
    "VOCABULARY",
    "CrossEncoder",
    "Reranker",
    "agent_text",
    "reranker",
]
