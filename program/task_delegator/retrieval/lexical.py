"""What the lexical channels read in a text: stemmed words, and character n-grams."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

from .late_interaction import offsets

_WORD = re.compile(r"\b\w\w+\b")
_STOPWORDS = frozenset(STOPWORDS_EN)


class StemmedWords:
    """Cut a text into English stems without stop words.

    What ``bm25s.tokenize`` returns, which sets up three progress bars for each text.
    """

    def __init__(self) -> None:
        self._stemmer: Any = Stemmer.Stemmer("english")

    def __call__(self, text: str) -> list[str]:
        """Return the stems in the order of the text."""
        words = [word for word in _WORD.findall(text.lower()) if word not in _STOPWORDS]
        return self._stemmer.stemWords(words)


def postings_sum(held: Mapping[str, Any], places: Sequence[int]) -> np.ndarray:
    """Return each document's sum over a task's words, float32, shape (documents,).

    What ``BM25.get_scores_from_ids`` of bm25s returns, a third as long.

    Args:
        held: ``BM25.scores``: by word, where its documents begin, which they are, their scores.
        places: of the task's words in it, each as often as it comes.
    """
    scores = np.zeros(held["num_docs"], dtype=held["data"].dtype)
    starts, owners, data = held["indptr"], held["indices"], held["data"]
    for place in places:  # a word is once in a document's scores: no owner comes twice
        stretch = slice(starts[place], starts[place + 1])
        scores[owners[stretch]] += data[stretch]
    return scores


class CharacterGrams:
    """Cosine of TF-IDF over character 3- to 5-grams: forgives typos and inflection.

    Grams do not cross words. Term frequencies are logarithmic, document frequencies smoothed
    by one, and documents have unit length: scikit-learn's ``TfidfVectorizer`` with ``char_wb``
    and ``sublinear_tf``, whose import costs more than a delegation.
    """

    def __init__(self, documents: Sequence[str]) -> None:
        self._places: dict[str, int] = {}
        self._number = len(documents)
        self._by_word: dict[str, list[int]] = {}  # a word is cut once, wherever it stands
        counted = []
        for document in documents:
            words = document.lower().split()
            for word in words:
                if word not in self._by_word:
                    grams = character_grams(word)
                    numbered = [self._places.setdefault(g, len(self._places)) for g in grams]
                    self._by_word[word] = numbered
            counted.append(_counted([p for word in words for p in self._by_word[word]]))
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
        found: list[int] = []
        for word in task.lower().split():
            found += self._by_word.get(word) or self._known_grams(word)
        places, weights = _counted(found)
        if len(places) == 0:
            return np.zeros(self._number)
        weights *= self._rarity[places]
        weights /= np.sqrt(weights @ weights)
        held = self._held[places]
        postings = np.repeat(self._starts[places] - offsets(held), held)
        postings += np.arange(len(postings))
        scores = np.repeat(weights, held)
        scores *= self._weights[postings]
        return np.bincount(self._owners[postings], scores, minlength=self._number)

    def _known_grams(self, word: str) -> list[int]:
        """Return the places of a word's grams that some document holds."""
        return [self._places[gram] for gram in character_grams(word) if gram in self._places]


def character_grams(word: str) -> list[str]:
    """Return the 3- to 5-grams of a word between spaces; a shorter word is one gram."""
    padded = f" {word} "
    if len(padded) <= 3:
        return [padded]
    sizes = range(3, min(len(padded), 5) + 1)
    return [padded[i : i + size] for size in sizes for i in range(len(padded) - size + 1)]


def _counted(places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return each place once, and 1 + log of how often it came."""
    often = Counter(places)
    each = np.fromiter(often, dtype=int, count=len(often))
    return each, 1 + np.log(np.fromiter(often.values(), dtype=float, count=len(often)))
