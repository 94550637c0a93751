"""Word overlap (Jaccard) between texts, and near-duplicate pairs."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence


def words(text: str) -> frozenset[str]:
    """Return the lower-case words of three letters or more, for overlap checks."""
    return frozenset(word for word in re.findall(r"[^\W_]+", text.lower()) if len(word) > 2)


def fold(text: str) -> str:
    """Return a text in lower case with single spaces, for comparing."""
    return " ".join(text.lower().split())


def overlap(left: frozenset[str], right: frozenset[str]) -> float:
    """Return the Jaccard overlap of two word sets, 0 where one is empty."""
    return len(left & right) / len(left | right) if left and right else 0.0


def overlapping(texts: Sequence[frozenset[str]], least: float) -> Iterator[tuple[int, int, float]]:
    """Return (index, index, overlap) of all pairs of texts with at least this overlap."""
    holders: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        shared: Counter[int] = Counter()
        # Two texts of that overlap share one of the rarest words of either: it is enough
        # to look at the holders of all but the most common words of this one.
        by_rarity = sorted(text, key=lambda word: (len(holders.get(word, ())), word))
        for word in by_rarity[: len(text) - math.ceil(least * len(text)) + 1]:
            shared.update(holders.get(word, ()))
        for other in sorted(shared):
            share = overlap(text, texts[other])
            if share >= least:
                yield other, number, share
        for word in text:
            holders.setdefault(word, []).append(number)
