"""Weighted sums over the postings of many tasks' terms at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .postings import Postings

# Terms of one document in so many and more: a product of matrices takes less time than their
# postings one by one, as most documents have most of them.
_ONE_IN = 10
_NUMBERS = 2**22  # of such a matrix, 32 MB


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What tasks weigh terms with, in no order, shape (n,) each.

    Attributes:
        tasks: numbers of tasks.
        terms: places among some terms, each once a task.
        weights: of the term in the task, float64.
        number: of tasks.
    """

    tasks: np.ndarray
    terms: np.ndarray
    weights: np.ndarray
    number: int

    def over(
        self, part: Postings, terms: np.ndarray, counted: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return each document's weighted sum for each task, shape (tasks, documents).

        Args:
            part: documents with their terms.
            terms: numbers of the terms that ``terms`` are places of, ascending.
            counted: what a count of a term in a document stands for, float64.
        """
        held = part.held(terms)
        often = np.flatnonzero(held * _ONE_IN >= part.documents)
        most = max(_NUMBERS // part.documents, 1)
        if len(often) > most:
            often = np.sort(often[np.argsort(-held[often], kind="stable")[:most]])
        chosen = np.zeros(len(terms), dtype=bool)
        chosen[often] = True
        scores = self._by_matrix(part, terms, chosen, counted)
        scores += self._one_by_one(part, terms, ~chosen, counted)
        return scores

    def _by_matrix(
        self,
        part: Postings,
        terms: np.ndarray,
        chosen: np.ndarray,
        counted: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Return the sums over some terms, by a matrix of terms and documents."""
        held, places = part.found(terms[chosen])
        own = chosen[self.terms]
        rows = np.cumsum(chosen) - 1
        asked = np.zeros((self.number, len(held)))
        asked[self.tasks[own], rows[self.terms[own]]] = self.weights[own]
        told = np.zeros((len(held), part.documents))
        told[np.repeat(np.arange(len(held)), held), part.owners[places]] = counted(
            part.counts[places]
        )
        return asked @ told

    def _one_by_one(
        self,
        part: Postings,
        terms: np.ndarray,
        chosen: np.ndarray,
        counted: Callable[[np.ndarray], np.ndarray],
    ) -> Any:
        """Return the sums over some terms, by a sparse product."""
        from scipy.sparse import csr_array  # its import costs more than a delegation

        held, places = part.found(terms[chosen])
        own = chosen[self.terms]
        rows = np.cumsum(chosen) - 1
        asked: Any = csr_array(
            (self.weights[own], (self.tasks[own], rows[self.terms[own]])),
            shape=(self.number, len(held)),
        )
        starts = np.concatenate([[0], np.cumsum(held)]).astype(np.int32)
        told: Any = csr_array(
            (counted(part.counts[places]), part.owners[places], starts),
            shape=(len(held), part.documents),
        )
        return (asked @ told).toarray()
