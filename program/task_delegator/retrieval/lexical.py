"""What the lexical channels read in a text: stemmed words, and character n-grams."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

from .postings import ChosenDocuments, Counted
from .weighted_sums import Sums

_WORD = re.compile(r"\b\w\w+\b")
_STOPWORDS = frozenset(STOPWORDS_EN)
_FREQUENCIES = 1 + np.log(np.maximum(np.arange(256), 1))  # as they are looked up, not computed
_FEW_TASKS = 12  # fewer are sooner scored one by one
_POSTINGS = 2**24  # that the words of many tasks may have at once: a tenth of them takes 50 MB
_WORDS_CUT = 2**14  # words whose grams are remembered: some 8 MB


class Terms:
    """Numbers of terms in the order in which they first came; none is ever taken back."""

    def __init__(self, terms: Iterable[Hashable] = ()) -> None:
        self._numbers: dict[Hashable, int] = {term: n for n, term in enumerate(terms)}

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Hashable]:
        """Return the terms by number."""
        return iter(self._numbers)

    def numbered(self, terms: Iterable[Hashable]) -> list[int]:
        """Return the numbers of terms, new ones included."""
        numbers = self._numbers
        return [numbers.setdefault(term, len(numbers)) for term in terms]

    def known(self, terms: Iterable[Hashable]) -> list[int]:
        """Return the numbers of those terms that have one."""
        return [self._numbers[term] for term in terms if term in self._numbers]

    def found(self, terms: Iterable[Hashable]) -> np.ndarray:
        """Return the numbers of terms, -1 for those that have none, int64."""
        return np.array([self._numbers.get(term, -1) for term in terms], dtype=np.int64)


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


class CharacterGrams:
    """Cut texts into character 3- to 5-grams that do not cross words, as numbers."""

    def __init__(self) -> None:
        self.terms = Terms()
        self._by_word: dict[str, list[int]] = {}  # a word is cut once, wherever it stands

    def added(self, text: str) -> list[int]:
        """Return the numbers of a document's grams, new ones included."""
        found: list[int] = []
        for word in text.lower().split():
            known = self._by_word.get(word)
            if known is None:
                known = self.terms.numbered(character_grams(word))
                if len(self._by_word) < _WORDS_CUT:
                    self._by_word[word] = known
            found += known
        return found

    def known(self, text: str) -> list[int]:
        """Return the numbers of those grams that some document held."""
        return next(self.known_of_many((text,)))

    def known_of_many(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Yield what ``known`` returns for each text; a word is cut once."""
        cut: dict[str, list[int]] = {}
        for text in texts:
            found: list[int] = []
            for word in text.lower().split():
                known = self._by_word.get(word) or cut.get(word)
                if known is None:
                    known = cut[word] = self.terms.known(character_grams(word))
                found += known
            yield found


def character_grams(word: str) -> list[str]:
    """Return the 3- to 5-grams of a word between spaces; a shorter word is one gram."""
    padded = f" {word} "
    if len(padded) <= 3:
        return [padded]
    sizes = range(3, min(len(padded), 5) + 1)
    return [padded[i : i + size] for size in sizes for i in range(len(padded) - size + 1)]


def counted(numbers: Sequence[int]) -> Counted:
    """Return each number once, in the order in which it first came, and how often it came."""
    often = Counter(numbers)
    each = np.fromiter(often, dtype=np.int32, count=len(often))
    return each, np.fromiter(often.values(), dtype=np.int32, count=len(often))


class GramCosines:
    """Cosine of TF-IDF over character 3- to 5-grams: forgives typos and inflection.

    Term frequencies are logarithmic, document frequencies smoothed by one, and documents have
    unit length: scikit-learn's ``TfidfVectorizer`` with ``char_wb`` and ``sublinear_tf``, whose
    import costs more than a delegation.

    Args:
        grams: that cut the documents.
        documents: those to compare with; rarity and length are theirs alone.
    """

    def __init__(self, grams: CharacterGrams, documents: ChosenDocuments) -> None:
        self._grams, self._documents = grams, documents
        squares = self._rarity(documents.holders(len(grams.terms))) ** 2
        summed = np.zeros(documents.corpus.documents)
        for first, part in documents.corpus.parts:
            weights = np.repeat(squares[part.terms], np.diff(part.starts))
            often = np.flatnonzero(part.counts > 1)
            weights[often] *= _frequency(part.counts[often]) ** 2
            add_up = _summed_exactly if documents.few else np.bincount
            summed[first : first + part.documents] = add_up(part.owners, weights, part.documents)
        self._norms = np.sqrt(documents.in_order(summed))
        self._norms[self._norms == 0] = 1.0  # a document without grams scores nothing

    @property
    def nbytes(self) -> int:
        """Return how much of memory it holds beside the corpus that is shared."""
        return self._norms.nbytes + self._documents.nbytes

    def __call__(self, task: str) -> np.ndarray:
        """Return one cosine per document, shape (documents,)."""
        places, often = counted(self._grams.known(task))
        held, parts = self._documents.postings(places)
        rarity = self._rarity(held)
        weights = _frequency(often) * rarity
        if not held.all():  # a gram of other documents alone is none
            weights[held == 0] = 0.0
        own = weights[held > 0]
        length = float(np.sqrt(own @ own))
        if length == 0:
            return np.zeros(len(self._documents))
        weights *= rarity
        weights /= length
        scores = np.zeros(self._documents.corpus.documents)
        for number, owners, counts in parts:
            spread = np.repeat(weights, number)
            spread *= _frequency(counts)
            scores += np.bincount(owners, spread, minlength=len(scores))
        return self._documents.in_order(scores) / self._norms

    def many(self, tasks: Sequence[str]) -> np.ndarray:
        """Return what each task alone is given, but for rounding, shape (tasks, documents)."""
        cut = list(map(counted, self._grams.known_of_many(tasks)))
        terms, place = np.unique(np.concatenate([p for p, _ in cut]), return_inverse=True)
        if len(tasks) < _FEW_TASKS or not len(terms):
            return np.stack([self(task) for task in tasks])
        owners = np.repeat(np.arange(len(tasks)), [len(places) for places, _ in cut])
        held = self._documents.held(terms)
        rarity = np.where(held > 0, self._rarity(held), 0.0)[place]  # a gram that nobody has: none
        weights = _frequency(np.concatenate([often for _, often in cut])) * rarity
        lengths = np.sqrt(np.bincount(owners, weights**2, len(tasks)))
        weights *= rarity / np.where(lengths > 0, lengths, 1.0)[owners]
        asked = Sums(owners, place, weights, len(tasks))
        corpus = self._documents.corpus
        scores = np.empty((len(tasks), corpus.documents))
        for first, part in corpus.parts:
            told = asked.over(part, terms, _frequency)
            scores[:, first : first + part.documents] = told
        ordered = self._documents.in_order(scores.T).T
        ordered /= self._norms
        return ordered

    def _rarity(self, held: np.ndarray) -> np.ndarray:
        return np.log((1 + len(self._documents)) / (1 + held)) + 1


def _summed_exactly(owners: np.ndarray, weights: np.ndarray, number: int) -> np.ndarray:
    """Return each owner's sum, the same in any order: grams are numbered as others came before.

    Args:
        owners: 0..number-1, shape (n,).
        weights: 0 to 2**13, shape (n,); 2**20 of an owner at most.
        number: of owners.
    """
    coarse = np.round(weights * 2.0**20) / 2.0**20
    fine = np.round((weights - coarse) * 2.0**44) / 2.0**44
    # Neither sum is ever rounded: both are of multiples of the same power of two.
    return np.bincount(owners, coarse, number) + np.bincount(owners, fine, number)


def _frequency(counts: np.ndarray) -> np.ndarray:
    """Return 1 + log of how often a term comes."""
    if len(counts) and counts.max() >= len(_FREQUENCIES):
        return 1 + np.log(counts.astype(np.float64))
    return _FREQUENCIES[counts]


class WordScores:
    """BM25 over stemmed words, in the variant of Lucene: the scores of ``bm25s``, bit by bit.

    Args:
        cut, terms: what cuts and numbers the documents' words.
        documents: those to score; rarity and mean length are theirs alone.
    """

    def __init__(self, cut: StemmedWords, terms: Terms, documents: ChosenDocuments) -> None:
        self._cut, self._terms, self._documents = cut, terms, documents
        lengths = documents.in_order(documents.corpus.lengths)
        self._mean = float(lengths.mean()) if len(lengths) else 0.0

    @property
    def nbytes(self) -> int:
        """Return how much of memory it holds beside the corpus that is shared."""
        return self._documents.nbytes

    def __call__(self, task: str, k1: float, b: float) -> np.ndarray:
        """Return one score per document, shape (documents,)."""
        corpus = self._documents.corpus
        words = np.array(self._terms.known(self._cut(task)), dtype=np.int64)
        scores = np.zeros(corpus.documents, dtype=np.float32)
        if len(words) and self._mean > 0:
            for each, owners, shares in self._shares(words, k1, b):
                start = 0
                for number in each.tolist():
                    # A document holds a word once: no owner comes twice.
                    stretch = slice(start, start := start + number)
                    scores[owners[stretch]] += shares[stretch]
        return self._documents.in_order(scores).astype(np.float64)

    def many(self, tasks: Sequence[str], k1: float, b: float) -> np.ndarray:
        """Return what each task alone is given, bit by bit, shape (tasks, documents)."""
        corpus = self._documents.corpus
        scores = np.zeros((len(tasks), corpus.documents), dtype=np.float32)
        self._add_up(scores, [self._terms.known(self._cut(task)) for task in tasks], k1, b)
        return self._documents.in_order(scores.T).T.astype(np.float64)

    def _add_up(
        self, scores: np.ndarray, read: Sequence[Sequence[int]], k1: float, b: float
    ) -> None:
        """Add what words bring to the scores of tasks, shape (tasks, documents)."""
        corpus, half = self._documents.corpus, len(read) // 2
        if half and sum(map(len, read)) * corpus.documents > _POSTINGS:
            self._add_up(scores[:half], read[:half], k1, b)
            self._add_up(scores[half:], read[half:], k1, b)
            return
        # All first words, then all second ones: none of a task's sums comes twice among them.
        words = sorted(
            (rank, task, word) for task, own in enumerate(read) for rank, word in enumerate(own)
        )
        if words and self._mean > 0:
            ranks, owners, terms = np.array(words, dtype=np.int64).T
            flat = scores.reshape(-1)
            for each, documents, shares in self._shares(terms, k1, b):
                places = np.repeat(owners * corpus.documents, each) + documents
                ends = np.cumsum(np.bincount(ranks, each).astype(np.int64))
                for start, end in pairwise([0, *ends.tolist()]):
                    flat[places[start:end]] += shares[start:end]

    def _shares(
        self, words: np.ndarray, k1: float, b: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield what words add to the documents that hold them, float32, part by part.

        Returns:
            How many postings each word has, and of each posting the document and what it adds.
        """
        corpus = self._documents.corpus
        held, parts = self._documents.postings(words)
        among = len(self._documents)
        rarity = np.log(1 + (among - held + 0.5) / (held + 0.5)).astype(np.float32)
        damped = k1 * ((1 - b) + b * corpus.lengths / self._mean)
        for each, owners, counts in parts:
            shares = counts / (damped[owners] + counts)
            shares *= np.repeat(rarity, each)
            yield each, owners, shares.astype(np.float32)
