"""Embedder that keeps the encodings of agents between processes, those of tasks within one."""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from .base import CacheableEmbedder, Embedder, Encoded
from .cache import VectorCache
from .late_chunking import pools_tokens
from .remembered import RememberedTasks, text_digest

_CHUNK = 1000  # texts that are encoded before they are stored: what a failure can lose
_TASKS = 8 * 2**20  # bytes of remembered tasks: some 500 of a sentence or two
_FITTED = 64 * 2**20  # while a program is fitted, which asks thousands again and again
_SHAPE = struct.Struct("<II")  # tokens and dimensions of a packed encoding


class CachedEmbedder:
    """Encode the texts of an index by way of a store, tasks by what is remembered of the last.

    Args:
        inner: the embedder.
        store: what was encoded before, in this process or another.
    """

    def __init__(self, inner: CacheableEmbedder, store: VectorCache) -> None:
        self.id, self.languages = inner.id, inner.languages
        self._inner = inner
        self._store = store
        self._tasks = RememberedTasks(_TASKS)

    def __reduce__(self) -> "tuple[type[CachedEmbedder], tuple[CacheableEmbedder, VectorCache]]":
        """Leave out what is remembered."""
        return CachedEmbedder, (self._inner, self._store)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text; those of the last tasks are remembered in memory."""
        known = self._tasks.found(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            made = dict(zip(missing, self._inner.encode(missing), strict=True))
            self._tasks.hold(made)
            known |= made
        return [known[text] for text in texts]

    @property
    def pools_tokens(self) -> bool:
        """Tell whether the embedder's vector of a text is the mean of its tokens' vectors."""
        return pools_tokens(self._inner)

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return those of each text's encoding, without encoding it."""
        return self._inner.token_ids(texts)

    @property
    def maker(self) -> str | None:
        """Return all that encodings depend on beside the texts; None where that is unknown."""
        runtime = self._inner.runtime
        return None if runtime is None else f"{self.id} {runtime}"

    def encode_documents(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text; only those that the store does not hold are computed.

        The store holds vectors. Token ids, which spell a text, are made again from it.
        """
        maker = self.maker
        if maker is None:
            return self._inner.encode(texts)
        made_by = f"{maker}\0"
        by_key = {text_digest(made_by + text): text for text in texts}
        known = self._kept(by_key)
        missing = [key for key in by_key if key not in known]
        if missing:
            known |= self._made(missing, by_key)
            dimensions = len(known[missing[0]].vector)  # a provider may have changed them
            changed = [key for key in by_key if len(known[key].vector) != dimensions]
            known |= self._made(changed, by_key)
        return [known[text_digest(made_by + text)] for text in texts]

    def _made(self, keys: Sequence[bytes], texts: Mapping[bytes, str]) -> dict[bytes, Encoded]:
        """Encode texts, and store what is done."""
        made: dict[bytes, Encoded] = {}
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            encodings = self._inner.encode([texts[key] for key in chunk])
            fresh = dict(zip(chunk, encodings, strict=True))
            self._store.write({key: packed(encoding) for key, encoding in fresh.items()})
            made |= fresh
        return made

    def _kept(self, texts: Mapping[bytes, str]) -> dict[bytes, Encoded]:
        """Return the encodings that the store holds, all of the same dimensions."""
        arrays = unpacked(self._store.read(list(texts)))
        held = Counter(len(vector) for vector, _ in arrays.values())
        dimensions = self._inner.dimensions or (held.most_common(1)[0][0] if held else 0)
        found = [key for key, (vector, _) in arrays.items() if len(vector) == dimensions]
        spelled = self._inner.token_ids([texts[key] for key in found])
        return {
            key: Encoded(arrays[key][0], token_ids, arrays[key][1])
            for key, token_ids in zip(found, spelled, strict=True)
            if len(token_ids) == len(arrays[key][1])
        }

    @contextmanager
    def holding(self, most: int) -> Iterator[None]:
        """Remember tasks of at most so many bytes, until the block ends."""
        before = self.hold_at_most(most)
        try:
            yield
        finally:
            self.hold_at_most(before)

    def hold_at_most(self, most: int) -> int:
        """Remember tasks of at most so many bytes, none from before; return the old limit."""
        return self._tasks.limit(most)


def encode_documents(embed: Embedder, texts: Sequence[str]) -> list[Encoded]:
    """Return encodings of texts that stay: an index's, which the cache may hold already."""
    if isinstance(embed, CachedEmbedder):
        return embed.encode_documents(texts)
    return embed.encode(texts)


def maker_of(embed: Embedder) -> str | None:
    """Return all that kept encodings depend on beside the texts; None where none are kept."""
    return embed.maker if isinstance(embed, CachedEmbedder) else None


def remembering(embed: Embedder) -> AbstractContextManager[None]:
    """Return a context in which thousands of tasks that are asked again are not encoded again.

    For fitting, which asks the same requests in every stage.
    """
    return embed.holding(_FITTED) if isinstance(embed, CachedEmbedder) else nullcontext()


def forgetting(embed: Embedder) -> AbstractContextManager[None]:
    """Return a context in which each task is encoded each time.

    For measuring: what a task costs includes its encoding.
    """
    return embed.holding(0) if isinstance(embed, CachedEmbedder) else nullcontext()


def forget_tasks(embed: Embedder) -> None:
    """Do from here on what ``forgetting`` does for a block."""
    if isinstance(embed, CachedEmbedder):
        embed.hold_at_most(0)


def packed(encoding: Encoded) -> bytes:
    """Return an encoding's vectors as bytes."""
    shape = _SHAPE.pack(len(encoding.token_vectors), len(encoding.vector))
    return shape + encoding.vector.tobytes() + encoding.token_vectors.tobytes()


def unpacked(found: Mapping[bytes, bytes]) -> dict[bytes, tuple[np.ndarray, np.ndarray]]:
    """Return vectors and token vectors by their keys, without those that are damaged."""
    arrays = {}
    for key, content in found.items():
        if len(content) < _SHAPE.size:
            continue
        tokens, dim = _SHAPE.unpack_from(content)
        vectors = _SHAPE.size + 4 * dim
        if len(content) == vectors + tokens * dim:
            arrays[key] = (
                np.frombuffer(content[_SHAPE.size : vectors], dtype=np.float32),
                np.frombuffer(content[vectors:], dtype=np.int8).reshape(tokens, dim),
            )
    return arrays
