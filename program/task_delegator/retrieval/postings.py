"""Postings: which documents hold which terms, and how often.

They are immutable. What is added stands in a small part of its own, which is made anew with each
document and joined to the large part now and then: a change costs what changed, and who reads
sees one state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .rows import offsets

_MOST_APART = 256  # documents beside the large part; joining them takes some 0.1 s at 10,000 agents
_MOST_COUNTED = 2**16 - 1
Counted = tuple[np.ndarray, np.ndarray]  # a document's terms, each once, and how often each comes


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """Postings by term, so that a task reads those of its own terms alone.

    Attributes:
        documents: how many there are; some may hold nothing.
        terms: that a document holds, ascending, int32, shape (terms,).
        starts: where the postings of each begin, and where the last ones end, int64.
        owners: the document of each posting, int32, shape (postings,).
        counts: how often it holds the term, uint16, shape (postings,).
    """

    documents: int
    terms: np.ndarray
    starts: np.ndarray
    owners: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(
        cls, terms: np.ndarray, owners: np.ndarray, counts: np.ndarray, documents: int
    ) -> "Postings":
        """Return postings that are given one by one, shape (postings,) each."""
        order = np.argsort(terms, kind="stable")
        ordered = terms[order]
        firsts = np.flatnonzero(np.diff(ordered, prepend=-1))
        return cls(
            documents=documents,
            terms=ordered[firsts].astype(np.int32),
            starts=np.append(firsts, len(ordered)).astype(np.int64),
            owners=owners[order].astype(np.int32),
            counts=counts[order].astype(np.uint16),
        )

    @property
    def nbytes(self) -> int:
        """Return how much of memory they hold."""
        arrays = (self.terms, self.starts, self.owners, self.counts)
        return sum(array.nbytes for array in arrays)

    def each(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return term, owner and count of every posting."""
        return np.repeat(self.terms, np.diff(self.starts)), self.owners, self.counts

    def chosen(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return term, owner and count of the postings of some documents.

        Args:
            places: the documents' new numbers, -1 for those to leave out, shape (documents,).
        """
        owners = places[self.owners]
        kept = np.flatnonzero(owners >= 0)
        terms = self.terms[np.searchsorted(self.starts, kept, side="right") - 1]
        return terms, owners[kept], self.counts[kept]

    def held_by(self, chosen: np.ndarray | None) -> np.ndarray:
        """Return how many of some documents hold each of ``terms``, int, shape (terms,).

        Args:
            chosen: 1 for those documents, 0 for others, uint8; None for all.
        """
        if chosen is None or not len(self.terms):
            return np.diff(self.starts)
        return np.add.reduceat(chosen[self.owners], self.starts[:-1], dtype=np.int64)

    def places(self, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where some terms stand among ``terms``, and whether they do, shape (n,) each."""
        if not len(self.terms):
            return np.zeros(len(terms), dtype=np.int64), np.zeros(len(terms), dtype=bool)
        # Of a part that holds every term, a term is its own place.
        full = self.terms[-1] == len(self.terms) - 1
        where = terms if full else np.searchsorted(self.terms, terms)
        where = np.minimum(where, len(self.terms) - 1)
        return where, self.terms[where] == terms

    def held(self, terms: np.ndarray) -> np.ndarray:
        """Return how many postings each of some terms has, int64, shape (terms,)."""
        return self._stretches(terms)[1]

    def found(self, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many postings each of some terms has, and the places of all of them."""
        starts, held = self._stretches(terms)
        places = np.repeat(starts - offsets(held), held)
        places += np.arange(len(places))
        return held, places

    def _stretches(self, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the postings of some terms begin, and how many each has, int64."""
        if not len(self.terms):
            nothing = np.zeros(len(terms), dtype=np.int64)
            return nothing, nothing
        where, there = self.places(terms)
        starts = self.starts[where]
        return starts, np.where(there, self.starts[where + 1] - starts, 0)


_NOTHING = Postings(
    0,
    np.zeros(0, np.int32),
    np.zeros(1, np.int64),
    np.zeros(0, np.int32),
    np.zeros(0, np.uint16),
)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Documents by number: a large part, and behind it what was added since.

    Attributes:
        large, small: their postings; the small part's documents count from 0.
        lengths: terms of each document, each as often as it comes, int32, shape (documents,).
    """

    large: Postings
    small: Postings
    lengths: np.ndarray

    @classmethod
    def empty(cls) -> "Corpus":
        """Return a corpus of no documents."""
        return cls(_NOTHING, _NOTHING, np.zeros(0, dtype=np.int32))

    @property
    def documents(self) -> int:
        """Return how many documents there are."""
        return self.large.documents + self.small.documents

    @property
    def nbytes(self) -> int:
        """Return how much of memory they hold."""
        return self.large.nbytes + self.small.nbytes + self.lengths.nbytes

    @property
    def parts(self) -> list[tuple[int, Postings]]:
        """Return the parts that are there, each with the number of its first document."""
        both = (0, self.large), (self.large.documents, self.small)
        return [(first, part) for first, part in both if part.documents]

    def added(self, documents: Sequence[Counted], lengths: Sequence[int]) -> "Corpus":
        """Return these documents and more behind them.

        Args:
            documents: terms and counts of each.
            lengths: terms of each, repeated ones counted.
        """
        if not documents:
            return self
        new = _postings(documents)
        small = _joined(self.small, new) if self.small.documents else new
        held = np.append(self.lengths, np.array(lengths, dtype=np.int32))
        if self.documents == 0:
            return Corpus(small, _NOTHING, held)
        if small.documents > _MOST_APART:
            return Corpus(_joined(self.large, small), _NOTHING, held)
        return Corpus(self.large, small, held)

    def only(self, numbers: np.ndarray) -> "Corpus":
        """Return some of the documents, numbered in the order in which they are given."""
        every = np.arange(self.documents)
        if not self.small.documents and np.array_equal(numbers, every):
            return self
        places = np.full(self.documents, -1, dtype=np.int32)
        places[numbers] = np.arange(len(numbers), dtype=np.int32)
        found = [part.chosen(places[first : first + part.documents]) for first, part in self.parts]
        terms, owners, counts = map(np.concatenate, zip(*found, strict=True))
        postings = Postings.of(terms, owners, counts, len(numbers))
        return Corpus(postings, _NOTHING, self.lengths[numbers])


def _postings(documents: Sequence[Counted]) -> Postings:
    owners = np.repeat(np.arange(len(documents)), [len(terms) for terms, _ in documents])
    terms = np.concatenate([terms for terms, _ in documents])
    counts = np.concatenate([counts for _, counts in documents])
    return Postings.of(terms, owners, np.minimum(counts, _MOST_COUNTED), len(documents))


def _joined(one: Postings, other: Postings) -> Postings:
    """Return the postings of both; the other's documents count on from the last of the one."""
    terms, owners, counts = map(np.concatenate, zip(one.each(), other.each(), strict=True))
    owners[len(one.owners) :] += one.documents
    return Postings.of(terms, owners, counts, one.documents + other.documents)


class ChosenDocuments:
    """Some documents of a corpus, in an order of their own; nothing depends on the others.

    Args:
        corpus: all.
        numbers: which, int32, shape (n,).
    """

    _SMALL = 512  # so few documents have postings of their own: others cost them no time

    def __init__(self, corpus: Corpus, numbers: np.ndarray) -> None:
        self._chosen: np.ndarray | None = None
        if len(numbers) < corpus.documents and len(numbers) <= self._SMALL:
            corpus, numbers, self.own = corpus.only(numbers), np.arange(len(numbers)), True
        else:
            self.own = False
        self.corpus, self.numbers = corpus, numbers
        if len(numbers) < corpus.documents:
            self._chosen = np.zeros(corpus.documents, dtype=np.uint8)
            self._chosen[numbers] = 1
        self._ordered = self._chosen is None and bool((numbers == np.arange(len(numbers))).all())

    @property
    def few(self) -> bool:
        """Tell whether they are so few that they have postings of their own."""
        return len(self.numbers) <= self._SMALL

    @property
    def nbytes(self) -> int:
        """Return how much of memory they hold beside the corpus that is shared."""
        mask = 0 if self._chosen is None else self._chosen.nbytes
        return mask + (self.corpus.nbytes if self.own else 0)

    def __len__(self) -> int:
        return len(self.numbers)

    def in_order(self, values: np.ndarray) -> np.ndarray:
        """Return these documents' share of a value per document of the corpus."""
        return values if self._ordered else values[self.numbers]

    def holders(self, terms: int) -> np.ndarray:
        """Return how many of these documents hold each term, int64, shape (terms,)."""
        held = np.zeros(terms, dtype=np.int64)
        for first, part in self.corpus.parts:
            held[part.terms] += part.held_by(self._part_of(self._chosen, first, part))
        return held

    def held(self, terms: np.ndarray) -> np.ndarray:
        """Return how many of these documents hold each of some terms, int64, shape (terms,)."""
        if self._chosen is not None:
            return self.postings(terms)[0]
        total = np.zeros(len(terms), dtype=np.int64)
        for _, part in self.corpus.parts:
            total += part.held(terms)
        return total

    def postings(self, terms: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, ...]]]:
        """Return how many of these documents hold each of some terms, and the terms' postings.

        Returns:
            The holders, int64, shape (terms,); and for each part of the corpus how many postings
            each term has, the documents of all of them, and the counts. Postings of documents
            that are not among these are still there.
        """
        total = np.zeros(len(terms), dtype=np.int64)
        parts: list[tuple[np.ndarray, ...]] = []
        for first, part in self.corpus.parts:
            held, places = part.found(terms)
            owners = part.owners[places]
            chosen = self._part_of(self._chosen, first, part)
            if chosen is None:
                total += held
            elif len(places):
                some = np.flatnonzero(held)
                total[some] += np.add.reduceat(chosen[owners], offsets(held[some]), dtype=np.int64)
            parts.append((held, owners + first if first else owners, part.counts[places]))
        return total, parts

    @staticmethod
    def _part_of(chosen: np.ndarray | None, first: int, part: Postings) -> np.ndarray | None:
        return None if chosen is None else chosen[first : first + part.documents]
