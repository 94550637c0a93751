"""Lexical channel: TF-IDF of character n-grams."""

from collections.abc import Iterable, Sequence

import numpy as np

from .late_interaction import offsets


class CharacterGrams:
    """Cosine of TF-IDF over character 3- to 5-grams: forgives typos and inflection.

    Grams do not cross words. Term frequencies are logarithmic, document frequencies smoothed
    by one, and documents have unit length: scikit-learn's ``TfidfVectorizer`` with ``char_wb``
    and ``sublinear_tf``, whose import costs more than a delegation.
    """

    def __init__(self, documents: Sequence[str]) -> None:
        self._places: dict[str, int] = {}
        self._number = len(documents)
        by_word: dict[str, list[int]] = {}  # a word is cut once, however often it stands there
        counted = []
        for document in documents:
            words = document.lower().split()
            for word in words:
                if word not in by_word:
                    grams = character_grams(word)
                    by_word[word] = [self._places.setdefault(g, len(self._places)) for g in grams]
            counted.append(_counted(place for word in words for place in by_word[word]))
        owners = np.repeat(np.arange(self._number), [len(places) for places, _ in counted])
        places = np.concatenate([places for places, _ in counted])
        self._held = np.bincount(places, minlength=len(self._places))
        self._starts = offsets(self._held)
        self._rarity = np.log((1 + self._number) / (1 + self._held)) + 1
        weights = np.concatenate([weights for _, weights in counted]) * self._rarity[places]
        weights /= np.sqrt(np.bincount(owners, weights**2, minlength=self._number))[owners]
        # By gram, so that a task reads only the postings of its own grams.
        order = np.argsort(places, kind="stable")
        self._owners, self._weights = owners[order], weights[order]

    def __call__(self, task: str) -> np.ndarray:
        """Return one cosine per document, shape (documents,)."""
        grams = (gram for word in task.lower().split() for gram in character_grams(word))
        places, weights = _counted(self._places[gram] for gram in grams if gram in self._places)
        if len(places) == 0:
            return np.zeros(self._number)
        weights *= self._rarity[places]
        weights /= np.sqrt(weights @ weights)
        held = self._held[places]
        postings = np.repeat(self._starts[places] - offsets(held), held) + np.arange(held.sum())
        scores = np.repeat(weights, held) * self._weights[postings]
        return np.bincount(self._owners[postings], scores, minlength=self._number)


def character_grams(word: str) -> list[str]:
    """Return the 3- to 5-grams of a word between spaces; a shorter word is one gram."""
    padded = f" {word} "
    if len(padded) <= 3:
        return [padded]
    sizes = range(3, min(len(padded), 5) + 1)
    return [padded[i : i + size] for size in sizes for i in range(len(padded) - size + 1)]


def _counted(places: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return each place once, and 1 + log of how often it came."""
    each, often = np.unique(np.array(list(places), dtype=int), return_counts=True)
    return each, 1 + np.log(often)
