"""Embedder: the protocol that every embedder implements, and Encoded, its result."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ..system import sha256_text


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as an encoder sees it.

    Attributes:
        vector: unit vector of the text, float32, shape (dim,).
        token_ids: the text's own tokens without special ones, int32, shape (tokens,).
        token_vectors: their unit vectors times 127, int8, shape (tokens, dim); no rows
            where the model does not show them.
    """

    vector: np.ndarray
    token_ids: np.ndarray
    token_vectors: np.ndarray


class Embedder(Protocol):
    """Encode texts into vectors.

    Attributes:
        id: goes into a program's manifest.
        languages: ISO 639-1 codes of supported languages; None for no restriction.
    """

    id: str
    languages: frozenset[str] | None

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text."""
        ...


class CacheableEmbedder(Embedder, Protocol):
    """An embedder whose encodings may be kept from one process to the next."""

    @property
    def runtime(self) -> str | None:
        """Return what encodings depend on beside the id; None where that is unknown."""
        ...

    @property
    def dimensions(self) -> int | None:
        """Return how many a vector has; None where only an encoding can tell."""
        ...

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return those of each text's encoding, without encoding it."""
        ...


def encoded(vector: np.ndarray, token_ids: np.ndarray, tokens: np.ndarray) -> Encoded:
    """Return an encoding with unit vectors, those of the tokens in 8 bits."""
    lengths = np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-12)
    return Encoded(
        vector=(vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32),
        token_ids=token_ids.astype(np.int32),
        token_vectors=np.rint(127 * tokens / lengths).astype(np.int8),
    )


@lru_cache(maxsize=1)
def processor_kind() -> str:
    """Return 8 hexadecimal digits for what this processor can do.

    Results in 8 bits differ between processors with and without VNNI, so that machines that
    share a home must not share them.
    """
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), None)
    known = platform.processor() if flags is None else " ".join(sorted(flags.split()))
    return sha256_text(f"{platform.machine()} {known}")[:8]


def utf8_bytes(text: str) -> bytes:
    """Return a text's bytes; a lone surrogate is no text that a tokenizer takes."""
    return text.encode("utf-8", "replace")
