"""MaxSim late interaction between a task and the texts of agents, in both directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np

from ..embedders import Encoded
from .int8_products import products

_UNIT = 127**2  # of a token's vector with itself
_AT_ONCE = 2000  # tokens that are gathered and multiplied while a processor's own cache holds them


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One agent's texts, token by token.

    Attributes:
        vectors: in pieces, uint8 with the zero at 128, shape (tokens, dim).
        numbers: of all these tokens, int32.
        lengths: tokens of each text that has any, shape (texts,).
    """

    vectors: tuple[np.ndarray, ...]
    numbers: np.ndarray
    lengths: np.ndarray


class LateInteraction:
    """The MaxSim of ColBERT (Khattab and Zaharia, 2020) over a sentence encoder's token vectors.

    Each token is weighted by its inverse document frequency over agents. *To* is how much
    of the task is found in any of an agent's texts; *fro* how much of the agent's best
    covered text is found in the task.

    Args:
        holders: how many of the agents have each token, by its number, shape (tokens,).
        agents: how many agents there are.
    """

    def __init__(self, holders: np.ndarray, agents: int) -> None:
        # The last is that of tokens that nobody has.
        self._rarity = np.log(1 + agents / (np.append(holders, 0) + 0.5))

    @property
    def nbytes(self) -> int:
        """Return how much of memory it holds beside the tokens that are shared."""
        return self._rarity.nbytes

    def __call__(
        self, task: Encoded, numbers: np.ndarray, near: Sequence[Tokens]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return *to* and *fro* per agent, mean cosines, NaN without tokens, shape (near,) each.

        Args:
            task: as the embedder sees it.
            numbers: of its tokens; -1 for one that no agent ever had.
            near: the agents to compare.
        """
        to, fro = np.full(len(near), np.nan), np.full(len(near), np.nan)
        filled = [i for i, agent in enumerate(near) if len(agent.numbers)]
        if not filled or len(numbers) == 0:
            return to, fro
        agents = [near[i] for i in filled]
        dots = _dots(task, agents)
        rarity = self.rarity(numbers)
        agent_starts = offsets([len(agent.numbers) for agent in agents])
        to[filled] = rarity @ _cosines(np.maximum.reduceat(dots, agent_starts, axis=1))
        to[filled] /= rarity.sum()
        own = self._rarity[np.concatenate([agent.numbers for agent in agents])]
        covered = _cosines(dots.max(axis=0)) * own
        text_starts = offsets(np.concatenate([agent.lengths for agent in agents]))
        shares = np.add.reduceat(covered, text_starts) / np.add.reduceat(own, text_starts)
        fro[filled] = np.maximum.reduceat(shares, offsets([len(a.lengths) for a in agents]))
        return to, fro

    def rarity(self, numbers: np.ndarray) -> np.ndarray:
        """Return the weights of tokens by their numbers, float64, shape as given."""
        last = len(self._rarity) - 1
        return self._rarity[np.where(numbers < last, numbers, last)]


def _dots(task: Encoded, agents: Sequence[Tokens]) -> np.ndarray:
    """Return the dot products of the task's tokens with the agents', shape (task's, agents')."""
    ends = accumulate(len(agent.numbers) for agent in agents)
    pieces = groupby(zip(ends, agents, strict=True), lambda one: one[0] // _AT_ONCE)
    held = (
        np.concatenate([vectors for _, agent in piece for vectors in agent.vectors])
        for _, piece in pieces
    )
    return np.concatenate(products(held, task.token_vectors), axis=1)


def _cosines(dots: np.ndarray) -> np.ndarray:
    """Return the cosines of dot products of tokens, float32, shape as given."""
    return dots.astype(np.float32) / _UNIT


def offsets(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where each of so many things in a row begins, shape (things,)."""
    held = np.asarray(lengths, dtype=int)
    return np.cumsum(held) - held
