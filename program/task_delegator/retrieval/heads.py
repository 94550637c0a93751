"""Heads of an index: the first is waited for, later ones are fitted while the last one serves."""

import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Thread

import numpy as np

from ..embedders import VectorCache
from ..system import Lock
from .linear_head import Head, fit_head
from .rows import ChosenRows, offsets

_log = logging.getLogger(__name__)
_SETTINGS = 4  # that an index holds: a service has one, a search many
_QUICK = 20_000  # rows times classes up to which a head is fitted at once: some 50 ms
_KEPT = VectorCache("heads.sqlite", limit=2**28)  # 0.2 MB each with seventy agents
_one_at_a_time = Lock()  # of those that are fitted behind: the others' processors stay free


@dataclass(frozen=True, slots=True)
class _Serving:
    """A head that can be asked.

    Attributes:
        head: see ``Head``.
        names: of its classes, in order.
        theirs, own: its classes that the index still has, and their places; None for all.
    """

    head: Head
    names: tuple[str, ...]
    theirs: np.ndarray | None = None
    own: np.ndarray | None = None


class ClassRows:
    """Vectors of agents with samples: a class each, of its samples and its description.

    Args:
        samples, descriptions: of all agents; samples in the order of the agents.
        counts: samples of each agent that has any, shape (classes,).
        places: of these agents among the descriptions, shape (classes,).
    """

    def __init__(
        self,
        samples: ChosenRows,
        descriptions: ChosenRows,
        counts: np.ndarray,
        places: np.ndarray,
    ) -> None:
        self._samples, self._descriptions = samples, descriptions
        self._counts, self._places = counts, places

    def __len__(self) -> int:
        return len(self._samples) + len(self._places)

    def stacked(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the vectors as ``fit_head`` takes them, and the class of each."""
        classes = np.arange(len(self._places))
        # By rows, as the regression reads them.
        rows = np.concatenate([self._samples.copied(), self._descriptions.copied(self._places)])
        owners = np.concatenate([np.repeat(classes, self._counts), classes])
        return np.ascontiguousarray(rows), owners

    def means(self, vectors: np.ndarray) -> np.ndarray:
        """Return the products of each class's mean with vectors, shape (classes, ...)."""
        sums = np.add.reduceat(self._samples.product(vectors), offsets(self._counts))
        sums += self._descriptions.product(vectors)[self._places]
        return (sums.T / (self._counts + 1)).T


class Heads:
    """One head per regularization over the agents with samples.

    Args:
        names: of these agents, in the order of the index.
        rows: what their samples and descriptions are.
    """

    def __init__(self, names: Sequence[str], rows: ClassRows) -> None:
        self._names, self._rows = tuple(names), rows
        self._quick = len(rows) * len(self._names) <= _QUICK
        self._lock, self._turn = Lock(), Lock()
        self._fitted: OrderedDict[float, _Serving] = OrderedDict()
        self._older: Mapping[float, _Serving] = {}
        self._begun: dict[float, tuple[int, Thread]] = {}  # in which process: no child has it
        self._heir: Heads | None = None

    def __len__(self) -> int:
        """Return how many are held that were fitted for these agents."""
        return len(self._fitted)

    @property
    def nbytes(self) -> int:
        """Return how much of memory the heads take that are held."""
        with self._lock:
            held = [serving.head for serving in self._fitted.values()]
        return sum(head.nbytes for head in held)

    def __call__(self, vectors: np.ndarray, c: float) -> np.ndarray | None:
        """Return one logit per agent, NaN for those that no head knows yet, shape (agents, ...).

        Args:
            vectors: of a task, shape (dim,), or columns of many.
            c: inverse regularization.

        Returns:
            The logits; None where there are fewer than two agents.
        """
        if len(self._names) < 2:
            return None
        serving = self._serving(c)
        found = serving.head(vectors)
        if serving.own is None:
            return found
        logits = np.full((len(self._names), *found.shape[1:]), np.nan)
        logits[serving.own] = found[serving.theirs]
        return logits

    def follow(self, older: "Heads") -> None:
        """Let the heads of an older index serve while those of this one are fitted."""
        if older is self:
            return
        places = {name: place for place, name in enumerate(self._names)}
        with older._lock:
            theirs = {**older._older, **older._fitted}
            older._heir = self
        self._older = {
            c: stand_in
            for c, serving in theirs.items()
            if (stand_in := _stand_in(serving, places)) is not None
        }

    def wait(self) -> None:
        """Wait until no head is being fitted: for studies and tests alone."""
        with self._lock:
            threads = [thread for process, thread in self._begun.values() if process == os.getpid()]
        for thread in threads:
            thread.join()

    def _serving(self, c: float) -> _Serving:
        with self._lock:
            if c in self._fitted:
                self._fitted.move_to_end(c)
                return self._fitted[c]
            older = None if self._quick else self._older.get(c)
            if older is not None:
                self._begin(c)
                return older
        with self._turn:  # who asks for the first one while it is fitted waits
            with self._lock:
                if c in self._fitted:
                    return self._fitted[c]
            return self._keep(c, self._fit(c))

    def _begin(self, c: float) -> None:
        """Fit a head in the background, unless that is done or under way in this process."""
        if self._begun.get(c, (0,))[0] == os.getpid():
            return
        thread = Thread(target=self._fit_behind, args=(c,), name="fit-head", daemon=True)
        self._begun[c] = os.getpid(), thread
        thread.start()

    def _fit_behind(self, c: float) -> None:
        with _one_at_a_time:
            if self._heir is not None:  # which fits its own
                return
            try:
                serving = self._keep(c, self._fit(c))
            except (ArithmeticError, ImportError, MemoryError):
                _log.exception("the head of %d agents: the last one stays", len(self._names))
                return
        heir = self._heir
        if heir is not None:
            heir._offer(c, serving)

    def _offer(self, c: float, serving: _Serving) -> None:
        """Take over what was fitted for the index before, as it is newer than what serves."""
        places = {name: place for place, name in enumerate(self._names)}
        stand_in = _stand_in(serving, places)
        if stand_in is not None:
            with self._lock:
                self._older = {**self._older, c: stand_in}

    def _fit(self, c: float) -> _Serving:
        vectors, owners = self._rows.stacked()
        return _Serving(fit_head(vectors, owners, c, _KEPT, self._rows.means), self._names)

    def _keep(self, c: float, serving: _Serving) -> _Serving:
        with self._lock:
            self._fitted[c] = serving
            self._older = {setting: old for setting, old in self._older.items() if setting != c}
            if len(self._fitted) > _SETTINGS:
                self._fitted.popitem(last=False)
        return serving


def _stand_in(serving: _Serving, places: Mapping[str, int]) -> _Serving | None:
    """Return a head for the agents that it knows, None where it knows fewer than two of them."""
    names = serving.names
    pairs = [(i, places[name]) for i, name in enumerate(names) if name in places]
    if len(pairs) < 2:
        return None
    theirs, own = (np.array(column, dtype=int) for column in zip(*pairs, strict=True))
    return _Serving(serving.head, names, theirs, own)
