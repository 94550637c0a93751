"""MaxSim late interaction between a task and the texts of agents, in both directions."""

from collections.abc import Iterable

import numpy as np

from .rows import offsets
from .token_products import Block, Compared, blocks

_UNIT = 127**2  # of a token's vector with itself


class LateInteraction:
    """The MaxSim of ColBERT (Khattab and Zaharia, 2020) over a sentence encoder's token vectors.

    Each token is weighted by its inverse document frequency over agents, w. ``maxsim`` is how much
    of the task is found in any of the compared texts of an agent; ``maxsim_reverse`` how much of
    the best covered of them is found in the task:

        maxsim = sum over the task's tokens t of w(t) * max(cos(t, u)) / sum of w(t),
            u the tokens of all compared texts of the agent;
        maxsim_reverse = max over these texts of
            sum over its tokens u of w(u) * max(cos(u, t)) / sum of w(u), t those of the task.

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
        """Return ``maxsim`` and ``maxsim_reverse``, NaN without tokens, shape (agents,) each.

        Args:
            vectors: of the task's tokens, int8, shape (tokens, dim).
            numbers: of the same; -1 for a token that no agent ever had.
            near: texts of the agents to compare.
            sampled: whether samples are among them, bool, shape (agents,).
            described: whether their first says more than a name, bool, shape (agents,).
        """
        maxsim, reverse = np.full(len(near.texts), np.nan), np.full(len(near.texts), np.nan)
        if not near.lengths or len(numbers) == 0:
            return maxsim, reverse
        has_tokens = np.array(near.texts) > 0
        best_in_text, best_in_task = _largest_products(blocks(vectors, near))
        first_texts = offsets([*filter(None, near.texts)])
        best_in_agent = np.maximum.reduceat(best_in_text, first_texts, axis=1)
        weights = self._weights(numbers)
        coverage = self._coverage(near, best_in_task)
        maxsim[has_tokens] = _weighted_mean(weights, best_in_agent)
        reverse[has_tokens] = np.maximum.reduceat(coverage, first_texts)
        sampled, described = sampled[has_tokens], described[has_tokens]
        if sampled.any() and not sampled.all():
            by_first = _weighted_mean(weights, best_in_text[:, first_texts])
            maxsim[has_tokens] = _evened(maxsim[has_tokens], by_first, sampled, described)
            by_first = coverage[first_texts]
            reverse[has_tokens] = _evened(reverse[has_tokens], by_first, sampled, described)
        return maxsim, reverse

    def _coverage(self, near: Compared, best_in_task: np.ndarray) -> np.ndarray:
        """Return how much of each text is found in the task, weighted mean cosines, (texts,)."""
        weights, starts = self._rarity.take(near.numbers), offsets(near.lengths)
        found = _cosines(best_in_task) * weights
        return np.add.reduceat(found, starts) / np.add.reduceat(weights, starts)

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


def _largest_products(blocks: Iterable[Block]) -> tuple[np.ndarray, np.ndarray]:
    """Return each token's largest product: the task's with each text, the texts' with the task.

    Returns:
        int32, shape (task's tokens, texts) and shape (texts' tokens,).
    """
    best_in_text, best_in_task = [], []
    for block in blocks:
        best_in_text.append(np.maximum.reduceat(block.dots, block.starts, axis=1))
        best_in_task.append(np.maximum.reduce(block.dots, axis=0))
    return np.concatenate(best_in_text, axis=1), np.concatenate(best_in_task)


def _weighted_mean(weights: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return the weighted mean cosines of the task's tokens, shape (columns of ``best``,)."""
    return weights @ _cosines(best) / weights.sum()


def _cosines(dots: np.ndarray) -> np.ndarray:
    """Return the cosines of dot products of tokens, float32, shape as given."""
    return dots.astype(np.float32) / _UNIT
