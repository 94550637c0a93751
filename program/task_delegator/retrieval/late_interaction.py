"""MaxSim late interaction between a task and the texts of agents, in both directions."""

from collections.abc import Iterable, Sequence

import numpy as np

from .token_products import Block, TokenProducts, Tokens

_UNIT = 127**2  # of a token's vector with itself


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
        self, products: TokenProducts, numbers: np.ndarray, near: Sequence[Tokens]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return *to* and *fro* per agent, mean cosines, NaN without tokens, shape (near,) each.

        Args:
            products: of the task's tokens with those of agents.
            numbers: of the task's tokens; -1 for one that no agent ever had.
            near: the agents to compare.
        """
        to, fro = np.full(len(near), np.nan), np.full(len(near), np.nan)
        filled = [i for i, agent in enumerate(near) if len(agent.numbers)]
        if not filled or len(numbers) == 0:
            return to, fro
        agents = [near[i] for i in filled]
        of_agents, of_tokens = _best(products(agents))
        rarity = self.rarity(numbers)
        to[filled] = rarity @ _cosines(of_agents)
        to[filled] /= rarity.sum()
        own = self._rarity.take(np.concatenate([agent.numbers for agent in agents]))
        covered = _cosines(of_tokens) * own
        text_starts = offsets(np.concatenate([agent.lengths for agent in agents]))
        shares = np.add.reduceat(covered, text_starts) / np.add.reduceat(own, text_starts)
        fro[filled] = np.maximum.reduceat(shares, offsets([len(a.lengths) for a in agents]))
        return to, fro

    def rarity(self, numbers: np.ndarray) -> np.ndarray:
        """Return the weights of tokens by their numbers, float64, shape as given."""
        return self._rarity[np.minimum(numbers, len(self._rarity) - 1)]


def _best(blocks: Iterable[Block]) -> tuple[np.ndarray, np.ndarray]:
    """Return each token's largest product: the task's with each agent, the agents' with the task.

    Returns:
        int32, shape (task's tokens, agents) and shape (agents' tokens,).
    """
    of_agents, of_tokens = [], []
    for block in blocks:
        of_agents.append(np.maximum.reduceat(block.dots, block.starts, axis=1))
        of_tokens.append(np.maximum.reduce(block.dots, axis=0))
    return np.concatenate(of_agents, axis=1), np.concatenate(of_tokens)


def _cosines(dots: np.ndarray) -> np.ndarray:
    """Return the cosines of dot products of tokens, float32, shape as given."""
    return dots.astype(np.float32) / _UNIT


def offsets(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where each of so many things in a row begins, shape (things,)."""
    held = np.asarray(lengths, dtype=int)
    return np.cumsum(held) - held
