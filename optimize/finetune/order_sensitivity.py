"""What an LM picks from shortlists, in retrieval's order and turned round."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from task_delegator.probability import PROBABILITY_FLOOR


@dataclass(frozen=True, slots=True)
class Picks:
    """Per shortlist that holds an acceptable agent, in retrieval's order.

    Attributes:
        retrieval: whether retrieval's first place is right; shape (n,), bool, as are all.
        order: whether the LM's pick is right in retrieval's order.
        reversed: the same with the shortlist turned round.
        both: the same by the mean log-probability over both.
        flips: whether the pick differs between them. A tie is no pick, and wrong.
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
    rights: Sequence[Collection[int]],
    beliefs: Sequence[np.ndarray],
    turned: Sequence[np.ndarray],
) -> Picks:
    """Return which agents were picked; how likely none of them is plays no part.

    Args:
        rights: per shortlist the places of its acceptable agents, in retrieval's order.
        beliefs: per shortlist the probabilities of its slots and of none, shape (agents + 1,).
        turned: the same for the shortlists turned round.
    """
    logs = [np.log(np.maximum(belief[:-1], PROBABILITY_FLOOR)) for belief in beliefs]
    back = [np.log(np.maximum(belief[:-1], PROBABILITY_FLOOR))[::-1] for belief in turned]
    first = [_pick(own) for own in logs]
    last = [_pick(own) for own in back]
    mean = [_pick(own + other) for own, other in zip(logs, back, strict=True)]

    def right(chosen: Sequence[int | None]) -> np.ndarray:
        return np.array([pick in own for pick, own in zip(chosen, rights, strict=True)])

    return Picks(
        retrieval=right([0] * len(rights)),
        order=right(first),
        reversed=right(last),
        both=right(mean),
        flips=np.array([a is None or a != b for a, b in zip(first, last, strict=True)]),
    )


def _pick(logs: np.ndarray) -> int | None:
    best = np.flatnonzero(logs == logs.max())
    return int(best[0]) if len(best) == 1 else None
