"""Vectors as rows: they are added, never moved, and shared by all states of an index."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LEAST, _MOST = 64, 1024  # rows of a block that is begun because the last one is full
_OWN_BYTES = 2**20  # a choice of so few rows is copied: it is multiplied without the others


class _Block:
    """Room for rows, stored by columns: that is multiplied twice as fast.

    Attributes:
        held: float32, shape (dim, room).
        used: rows that are filled; they never change.
    """

    __slots__ = ("held", "used")

    def __init__(self, held: np.ndarray, used: int) -> None:
        self.held, self.used = held, used


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that are there, float32, shape (number, dim); what is added later is not among them.

    Attributes:
        blocks: where they are.
        firsts: number of each block's first row.
        number: how many rows there are.
    """

    blocks: tuple[_Block, ...] = ()
    firsts: tuple[int, ...] = ()
    number: int = 0

    @classmethod
    def of(cls, held: np.ndarray) -> "Rows":
        """Return rows that stand in an array, stored by columns, shape (dim, number)."""
        if held.shape[1] == 0:
            return cls()
        return cls((_Block(held, held.shape[1]),), (0,), held.shape[1])

    def added(self, vectors: np.ndarray) -> "Rows":
        """Return these rows and more behind them; one thread adds at a time.

        Args:
            vectors: shape (n, dim).
        """
        if len(vectors) == 0:
            return self
        blocks, firsts, number, left = list(self.blocks), list(self.firsts), self.number, vectors
        if blocks:
            last, own = blocks[-1], self.number - self.firsts[-1]
            # Rows of another who added to the same block stay where they are.
            room = last.held.shape[1] - own if last.used == own else 0
            fits = left[:room]
            if len(fits):  # what is mapped has no room, and cannot be written
                last.held[:, own : own + len(fits)] = fits.T
            last.used += len(fits)
            number, left = number + len(fits), left[room:]
        if len(left):
            room = max(_LEAST, min(_MOST, number)) if number else 0
            held = np.empty((left.shape[1], max(len(left), room)), dtype=np.float32)
            held[:, : len(left)] = left.T
            blocks.append(_Block(held, len(left)))
            firsts.append(number)
            number += len(left)
        return Rows(tuple(blocks), tuple(firsts), number)

    def parts(self) -> list[np.ndarray]:
        """Return the rows block by block, shape (n, dim) each."""
        ends = (*self.firsts, self.number)[1:]
        return [
            block.held[:, : end - first].T
            for block, first, end in zip(self.blocks, self.firsts, ends, strict=True)
        ]

    def product(self, vectors: np.ndarray) -> np.ndarray:
        """Return the rows' products with a vector or with columns, shape (number, ...)."""
        parts = self.parts()
        if len(parts) == 1:
            return parts[0] @ vectors
        return np.concatenate([part @ vectors for part in parts])

    def row(self, number: int) -> np.ndarray:
        """Return one row, shape (dim,), without copying it."""
        place = bisect_right(self.firsts, number) - 1
        return self.blocks[place].held[:, number - self.firsts[place]]

    def taken(self, numbers: np.ndarray) -> np.ndarray:
        """Return a copy of some rows, stored by columns, shape (numbers, dim)."""
        dim = self.blocks[0].held.shape[0] if self.blocks else 1
        taken = np.empty((dim, len(numbers)), dtype=np.float32)
        for part, first in zip(self.parts(), self.firsts, strict=True):
            here = np.flatnonzero((numbers >= first) & (numbers < first + len(part)))
            taken[:, here] = part.T[:, numbers[here] - first]
        return taken.T


class ChosenRows:
    """Some of the rows, in an order of its own.

    Args:
        rows: all.
        numbers: which, int, shape (n,).
    """

    def __init__(self, rows: Rows, numbers: np.ndarray) -> None:
        self._rows, self._numbers = rows, numbers
        self._own: np.ndarray | None = None
        self._all = len(numbers) == rows.number and bool(
            (numbers == np.arange(len(numbers), dtype=numbers.dtype)).all()
        )
        if not self._all and rows.blocks:
            size = len(numbers) * rows.blocks[0].held.shape[0] * 4
            self._own = rows.taken(numbers) if size <= _OWN_BYTES else None

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def nbytes(self) -> int:
        """Return how much of memory it holds beside the rows that are shared."""
        return self._numbers.nbytes + (0 if self._own is None else self._own.nbytes)

    def product(self, vectors: np.ndarray) -> np.ndarray:
        """Return the products with a vector or with columns, float32, shape (n, ...)."""
        if self._own is not None:
            return self._own @ vectors
        found = self._rows.product(vectors)
        return found if self._all else found[self._numbers]

    def row(self, place: int) -> np.ndarray:
        """Return one of them, shape (dim,)."""
        return self._rows.row(int(self._numbers[place]))

    def copied(self, places: np.ndarray | None = None) -> np.ndarray:
        """Return them, or those in some places, by rows, float32, shape (n, dim)."""
        numbers = self._numbers if places is None else self._numbers[places]
        return self._rows.taken(numbers)


def stacked(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Return vectors as rows, float32, shape (n, dim); (0, 1) of none."""
    return np.stack(vectors) if len(vectors) else np.zeros((0, 1), dtype=np.float32)


def offsets(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where each of so many things in a row begins, shape (things,)."""
    held = np.asarray(lengths, dtype=int)
    return np.cumsum(held) - held
