"""Late chunking: encodings of the parts of a text, from the one pass over all of it.

After Günther et al., Late Chunking: Contextual Chunk Embeddings (2024). A part's vector is the
mean of its tokens' vectors, which saw the rest of the text as well: a pass over the part alone
would give others.
"""

from collections.abc import Sequence
from typing import Protocol, TypeGuard

import numpy as np

from .base import Embedder, Encoded


class PoolingEmbedder(Embedder, Protocol):
    """An embedder whose vector of a text is the mean of its tokens' vectors.

    Attributes:
        pools_tokens: true.
    """

    pools_tokens: bool

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return those of each text's encoding, without encoding it."""
        ...


def pools_tokens(embed: Embedder) -> TypeGuard[PoolingEmbedder]:
    """Tell whether parts of a text can be encoded from its tokens' vectors."""
    return bool(getattr(embed, "pools_tokens", False))


def encode_parts(
    embed: PoolingEmbedder,
    whole: Encoded,
    parts: Sequence[str],
    token_ids: Sequence[np.ndarray] | None = None,
) -> list[Encoded] | None:
    """Return one encoding per part of a text.

    Args:
        embed: the embedder that encoded the text.
        whole: the text's encoding.
        parts: the first begins where the text does, the others end where it ends; the text may
            hold words between those of a part.
        token_ids: of the parts, where they are known.

    Returns:
        The encodings; None where a part has no tokens, or some that the text lacks.
    """
    found = []
    for number, ids in enumerate(token_ids or embed.token_ids(parts)):
        places = _places(whole.token_ids.tolist(), ids.tolist(), from_end=number > 0)
        if not places:
            return None
        vectors = whole.token_vectors[places]
        mean = vectors.mean(axis=0, dtype=np.float32)
        length = max(float(np.linalg.norm(mean)), 1e-12)
        found.append(Encoded(mean / length, ids, vectors))
    return found


def _places(whole: Sequence[int], part: Sequence[int], *, from_end: bool) -> list[int]:
    """Return where a part's tokens stand in a text, each behind the last; empty for nowhere."""
    step = -1 if from_end else 1
    text, places, at = whole[::step], [], -1
    for token in part[::step]:
        try:
            at = text.index(token, at + 1)
        except ValueError:
            return []
        places.append(len(text) - 1 - at if from_end else at)
    return places[::step]
