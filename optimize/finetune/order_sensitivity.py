"""Order sensitivity (position bias) of an LM: its picks in retrieval's order and in reverse."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from task_delegator.decision import PROBABILITY_FLOOR


@dataclass(frozen=True, slots=True)
class Picks:
    """Per shortlist that holds an acceptable agent, in retrieval's order.

    Attributes:
        retrieval: whether retrieval's first-ranked agent is acceptable; shape (n,), bool, as all.
        order: whether the LM's pick is acceptable, with the shortlist in retrieval's order.
        reversed: the same with the shortlist in reverse order.
        both: the same by the mean log-probability over both orders.
        flips: whether the pick differs between the orders. A tie counts as no pick and as wrong.
    """

    retrieval: np.ndarray
    order: np.ndarray
    reversed: np.ndarray
    both: np.ndarray
    flips: np.ndarray

    def means(self) -> dict[str, float]:
        """Return each share."""
        return {name: float(getattr(self, name).mean()) for name in self.__slots__}


def picks(
    acceptable: Sequence[Collection[int]],
    beliefs: Sequence[np.ndarray],
    reversed_beliefs: Sequence[np.ndarray],
) -> Picks:
    """Return which agents the LM picks in both orders; the none-slot is left out.

    Args:
        acceptable: per shortlist the places of its acceptable agents, in retrieval's order.
        beliefs: per shortlist the probabilities of its slots and of none, shape (agents + 1,).
        reversed_beliefs: the same for the shortlists in reverse order.
    """
    logs = [np.log(np.maximum(belief[:-1], PROBABILITY_FLOOR)) for belief in beliefs]
    back = [np.log(np.maximum(belief[:-1], PROBABILITY_FLOOR))[::-1] for belief in reversed_beliefs]
    first = [_pick(row) for row in logs]
    last = [_pick(row) for row in back]
    mean = [_pick(row + reverse) for row, reverse in zip(logs, back, strict=True)]

    def grade(chosen: Sequence[int | None]) -> np.ndarray:
        return np.array([pick in places for pick, places in zip(chosen, acceptable, strict=True)])

    return Picks(
        retrieval=grade([0] * len(acceptable)),
        order=grade(first),
        reversed=grade(last),
        both=grade(mean),
        flips=np.array([a is None or a != b for a, b in zip(first, last, strict=True)]),
    )


def _pick(logs: np.ndarray) -> int | None:
    best = np.flatnonzero(logs == logs.max())
    return int(best[0]) if len(best) == 1 else None
