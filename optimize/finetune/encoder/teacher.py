"""What a larger encoder makes of the pairs: its similarities are learned beside the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optimize.finetune.encoder.pairs import Pair
from task_delegator.embedders import Embedder
from task_delegator.system import replacing

_AT_ONCE = 1000  # texts of like length


@dataclass(frozen=True, slots=True)
class Teacher:
    """A larger encoder's vectors of the texts of pairs.

    Attributes:
        vectors: of the distinct texts, float16, shape (texts, dim).
        rows: places of each pair's anchor and positive among them, shape (pairs, 2).
    """

    vectors: np.ndarray
    rows: np.ndarray


def ask_teacher(embed: Embedder, pairs: Sequence[Pair], kept: Path) -> Teacher:
    """Return what a larger encoder makes of pairs, in their order.

    Args:
        embed: the larger encoder, which takes minutes.
        pairs: that are trained on.
        kept: folder of the vectors, so that a run that was stopped asks for what it lacks.
    """
    texts = sorted({text for pair in pairs for text in (pair.anchor, pair.positive)}, key=_length)
    kept.mkdir(exist_ok=True)
    vectors = [
        _vectors(embed, texts[start : start + _AT_ONCE], kept / f"{start}.npy")
        for start in range(0, len(texts), _AT_ONCE)
    ]
    place = {text: i for i, text in enumerate(texts)}
    rows = np.array([(place[pair.anchor], place[pair.positive]) for pair in pairs])
    return Teacher(np.concatenate(vectors), rows)


def _vectors(embed: Embedder, texts: Sequence[str], kept: Path) -> np.ndarray:
    """Return vectors of some texts, from the file where they were kept, float16."""
    if not kept.is_file():
        encoded = embed.encode(texts)
        with replacing(kept) as part, part.open("wb") as file:
            np.save(file, np.stack([one.vector for one in encoded]).astype(np.float16))
    return np.load(kept)


def _length(text: str) -> tuple[int, str]:
    return len(text), text
