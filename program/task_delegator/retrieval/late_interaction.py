"""MaxSim late interaction between a task and the texts of agents, in both directions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np

from ..embedders import Encoded
from .int8_products import products, unsigned

_UNIT = 127**2  # of a token's vector with itself
_AT_ONCE = 2000  # tokens that are gathered and multiplied while a processor's own cache holds them


@dataclass(frozen=True, slots=True)
class _Tokens:
    """One agent's texts, token by token.

    Attributes:
        vectors: uint8 with the zero at 128, shape (tokens, dim).
        rarity: of each token, shape (tokens,).
        lengths: tokens of each text, shape (texts,).
        sums: of the rarities of each text's tokens, shape (texts,).
    """

    vectors: np.ndarray
    rarity: np.ndarray
    lengths: np.ndarray
    sums: np.ndarray


class LateInteraction:
    """The MaxSim of ColBERT (Khattab and Zaharia, 2020) over a sentence encoder's token vectors.

    Each token is weighted by its inverse document frequency over agents. *To* is how much
    of the task is found in any of an agent's texts; *fro* how much of the agent's best
    covered text is found in the task.

    Args:
        texts: per agent, its encoded texts.
    """

    def __init__(self, texts: Sequence[Sequence[Encoded]]) -> None:
        self._holders: Counter[int] = Counter()
        for own in texts:
            self._holders.update({int(token) for text in own for token in text.token_ids})
        self._count = len(texts)
        self._agents = [self._tokens(own) for own in texts]

    def __call__(self, task: Encoded, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return *to* and *fro* per row, mean cosines, NaN without tokens, shape (rows,) each."""
        to, fro = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        near = [self._agents[row] for row in rows.tolist()]
        filled = [i for i, agent in enumerate(near) if len(agent.rarity)]
        if not filled or len(task.token_ids) == 0:
            return to, fro
        agents = [near[i] for i in filled]
        dots = _dots(task, agents)
        rarity = self._rarity(task.token_ids)
        agent_starts = offsets([len(agent.rarity) for agent in agents])
        to[filled] = rarity @ _cosines(np.maximum.reduceat(dots, agent_starts, axis=1))
        to[filled] /= rarity.sum()
        covered = _cosines(dots.max(axis=0)) * np.concatenate([agent.rarity for agent in agents])
        text_starts = offsets(np.concatenate([agent.lengths for agent in agents]))
        shares = np.add.reduceat(covered, text_starts) / np.concatenate([a.sums for a in agents])
        fro[filled] = np.maximum.reduceat(shares, offsets([len(a.lengths) for a in agents]))
        return to, fro

    def _tokens(self, texts: Sequence[Encoded]) -> _Tokens:
        shown = [text for text in texts if len(text.token_ids)]
        if not shown:
            dimensions = texts[0].token_vectors.shape[1] if texts else 0
            none = np.zeros(0)
            return _Tokens(np.zeros((0, dimensions), np.uint8), none, none.astype(int), none)
        rarity = self._rarity(np.concatenate([text.token_ids for text in shown]))
        lengths = np.array([len(text.token_ids) for text in shown])
        return _Tokens(
            vectors=unsigned(np.concatenate([text.token_vectors for text in shown])),
            rarity=rarity,
            lengths=lengths,
            sums=np.add.reduceat(rarity, offsets(lengths)),
        )

    def _rarity(self, token_ids: np.ndarray) -> np.ndarray:
        counts = np.array([self._holders.get(token, 0) for token in token_ids.tolist()])
        return np.log(1 + self._count / (counts + 0.5))


def _dots(task: Encoded, agents: Sequence[_Tokens]) -> np.ndarray:
    """Return the dot products of the task's tokens with the agents', shape (task's, agents')."""
    ends = accumulate(len(agent.rarity) for agent in agents)
    pieces = groupby(zip(ends, agents, strict=True), lambda one: one[0] // _AT_ONCE)
    held = (np.concatenate([agent.vectors for _, agent in piece]) for _, piece in pieces)
    return np.concatenate(products(held, task.token_vectors), axis=1)


def _cosines(dots: np.ndarray) -> np.ndarray:
    """Return the cosines of dot products of tokens, float32, shape as given."""
    return dots.astype(np.float32) / _UNIT


def offsets(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where each of so many things in a row begins, shape (things,)."""
    held = np.asarray(lengths, dtype=int)
    return np.cumsum(held) - held
