"""Embedder that caches the encodings of agents between processes."""

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock

import numpy as np

from .base import CacheableEmbedder, Embedder, Encoded, utf8_bytes
from .cache import VectorCache

_CHUNK = 1000  # texts that are encoded before they are stored: what a failure can lose
_QUERIES = 2000  # encodings remembered while a program is fitted: some 20 MB
_SHAPE = struct.Struct("<II")  # tokens and dimensions of a packed encoding


class CachedEmbedder:
    """Encode the texts of an index by way of a store, others by the embedder alone.

    Args:
        inner: the embedder.
        store: what was encoded before, in this process or another.
    """

    def __init__(self, inner: CacheableEmbedder, store: VectorCache) -> None:
        self.id, self.languages = inner.id, inner.languages
        self._inner = inner
        self._store = store
        self._queries: OrderedDict[bytes, Encoded] | None = None
        self._lock = Lock()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text; nothing is stored."""
        queries = self._queries
        if queries is None:
            return self._inner.encode(texts)
        keys = [_digest(text) for text in texts]
        with self._lock:
            known = {key: queries[key] for key in keys if key in queries}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            known |= zip(new, self._inner.encode(list(new.values())), strict=True)
        with self._lock:
            for key in keys:
                queries[key] = known[key]
                queries.move_to_end(key)
            while len(queries) > _QUERIES:
                queries.popitem(last=False)
        return [known[key] for key in keys]

    def encode_documents(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text; only those that the store does not hold are computed."""
        runtime = self._inner.runtime
        if runtime is None:
            return self._inner.encode(texts)
        made_by = f"{self.id} {runtime}\0"
        keys = [_digest(made_by + text) for text in texts]
        known = unpacked(self._store.read(keys))
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        new = list(missing)
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            encodings = self._inner.encode([missing[key] for key in chunk])
            fresh = dict(zip(chunk, encodings, strict=True))
            self._store.write({key: packed(encoding) for key, encoding in fresh.items()})
            known |= fresh
        return [known[key] for key in keys]

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Remember in this process what ``encode`` was asked last, until the block ends."""
        before, self._queries = self._queries, OrderedDict()
        try:
            yield
        finally:
            self._queries = before


def encode_documents(embed: Embedder, texts: Sequence[str]) -> list[Encoded]:
    """Return encodings of texts that stay: an index's, which the cache may hold already."""
    if isinstance(embed, CachedEmbedder):
        return embed.encode_documents(texts)
    return embed.encode(texts)


def remembering(embed: Embedder) -> AbstractContextManager[None]:
    """Return a context in which a task that is asked again is not encoded again.

    For fitting, which asks the same requests in every stage. Not for measuring: what a task
    costs includes its encoding.
    """
    return embed.remembering() if isinstance(embed, CachedEmbedder) else nullcontext()


def packed(encoding: Encoded) -> bytes:
    """Return an encoding as bytes."""
    arrays = (encoding.vector, encoding.token_ids, encoding.token_vectors)
    shape = _SHAPE.pack(len(encoding.token_ids), len(encoding.vector))
    return shape + b"".join(array.tobytes() for array in arrays)


def unpacked(found: Mapping[bytes, bytes]) -> dict[bytes, Encoded]:
    """Return packed encodings by their keys, without those that are damaged."""
    encodings = {}
    for key, content in found.items():
        if len(content) < _SHAPE.size:
            continue
        tokens, dim = _SHAPE.unpack_from(content)
        ids, vectors = _SHAPE.size + 4 * dim, _SHAPE.size + 4 * dim + 4 * tokens
        if len(content) == vectors + tokens * dim:
            encodings[key] = Encoded(
                vector=np.frombuffer(content[_SHAPE.size : ids], dtype=np.float32),
                token_ids=np.frombuffer(content[ids:vectors], dtype=np.int32),
                token_vectors=np.frombuffer(content[vectors:], dtype=np.int8).reshape(tokens, dim),
            )
    return encodings


def _digest(text: str) -> bytes:
    return hashlib.sha256(utf8_bytes(text)).digest()
