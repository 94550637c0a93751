"""MaxSim late interaction between a task and the texts of agents, in both directions."""

from collections.abc import Iterable

import numpy as np

from .rows import offsets
from .token_products import Block, Compared, blocks

_UNIT = 127**2  # of a token's vector with itself


class LateInteraction:
    """The MaxSim of ColBERT (Khattab and Zaharia, 2020) over a sentence encoder's token vectors.

    Each token is weighted by its inverse document frequency over agents. *To* is how much
    of the task is found in any of the compared texts of an agent; *fro* how much of the best
    covered of them is found in the task.

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
        self,
        vectors: np.ndarray,
        numbers: np.ndarray,
        near: Compared,
        sampled: np.ndarray,
        described: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return *to* and *fro* per agent, mean cosines, NaN without tokens, shape (agents,) each.

        Args:
            vectors: of the task's tokens, int8, shape (tokens, dim).
            numbers: of the same; -1 for a token that no agent ever had.
            near: texts of the agents to compare.
            sampled: whether samples are among them, bool, shape (agents,).
            described: whether their first says more than a name, bool, shape (agents,).
        """
        to, fro = np.full(len(near.texts), np.nan), np.full(len(near.texts), np.nan)
        if not near.lengths or len(numbers) == 0:
            return to, fro
        filled = np.array(near.texts) > 0
        of_texts, of_tokens = _best(blocks(vectors, near))
        rarity = self._weights(numbers)
        firsts = offsets([*filter(None, near.texts)])
        of_agents = np.maximum.reduceat(of_texts, firsts, axis=1)
        own = self._rarity.take(near.numbers)
        covered, starts = _cosines(of_tokens) * own, offsets(near.lengths)
        shares = np.add.reduceat(covered, starts) / np.add.reduceat(own, starts)
        to[filled] = rarity @ _cosines(of_agents) / rarity.sum()
        fro[filled] = np.maximum.reduceat(shares, firsts)
        sampled, described = sampled[filled], described[filled]
        if sampled.any() and not sampled.all():
            by_description = rarity @ _cosines(of_texts[:, firsts]) / rarity.sum()
            to[filled] = _evened(to[filled], by_description, sampled, described)
            fro[filled] = _evened(fro[filled], shares[firsts], sampled, described)
        return to, fro

    def _weights(self, numbers: np.ndarray) -> np.ndarray:
        """Return the weights of tokens by their numbers, float64, shape as given."""
        return self._rarity[np.minimum(numbers, len(self._rarity) - 1)]


def _evened(
    scores: np.ndarray, by_description: np.ndarray, sampled: np.ndarray, described: np.ndarray
) -> np.ndarray:
    """Return scores of agents to be compared, although some have samples and others none.

    The largest of several cosines is larger than that of one: agents without samples are given
    what samples bring to the better half of the others, an agent with a description what they
    bring beside one.

    Args:
        scores, by_description: by all of an agent's texts, and by the first, shape (agents,).
        sampled: who has samples, bool, shape (agents,).
        described: whose first text says more than a name, bool, shape (agents,).
    """
    evened = scores.copy()
    for bare, others in ((described, sampled & described), (~described, sampled)):
        if others.any():
            brought = (scores - by_description)[others]
            better = np.argsort(-scores[others], kind="stable")[: (len(brought) + 1) // 2]
            evened[bare & ~sampled] += brought[better].mean()
    return np.minimum(evened, np.maximum(scores, 1.0))


def _best(blocks: Iterable[Block]) -> tuple[np.ndarray, np.ndarray]:
    """Return each token's largest product: the task's with each text, the texts' with the task.

    Returns:
        int32, shape (task's tokens, texts) and shape (texts' tokens,).
    """
    of_texts, of_tokens = [], []
    for block in blocks:
        of_texts.append(np.maximum.reduceat(block.dots, block.starts, axis=1))
        of_tokens.append(np.maximum.reduce(block.dots, axis=0))
    return np.concatenate(of_texts, axis=1), np.concatenate(of_tokens)


def _cosines(dots: np.ndarray) -> np.ndarray:
    """Return the cosines of dot products of tokens, float32, shape as given."""
    return dots.astype(np.float32) / _UNIT
