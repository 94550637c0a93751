"""Late interaction of many texts at once: what each of them shares with others is made once.

Where an agent is near to several of the texts, its tokens are multiplied with those of all these
in one product. Where there are more agents than texts, each text has one product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..embedders import Encoded
from .int8_products import are_small, product_with_many, products
from .late_interaction import LateInteraction, offsets
from .token_products import Tokens

_UNIT = np.float32(127**2)  # of a token's vector with itself
_PRODUCTS = 2**19  # of an agent's tokens with texts' that are held at once, 2 MB


def fits(text: Encoded) -> bool:
    """Tell whether ``late_of_many`` takes a text."""
    return len(text.token_ids) > 0 and are_small(text.token_vectors)


def late_of_many(
    late: LateInteraction,
    texts: Sequence[tuple[Encoded, np.ndarray]],
    agents: Sequence[Tokens],
    near: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return *to* and *fro* of each text and each agent near it, shape (texts, near) each.

    Args:
        late: that weighs the tokens.
        texts: that fit, as the embedder sees them, with the numbers of their tokens; one at least.
        agents: that some text is near to.
        near: places of the agents to compare each text with, shape (texts, near); all have tokens.
    """
    told = _Told.of(texts, late)
    if len(agents) > len(texts):
        return _text_by_text(told, _Held.of(agents, late), near)
    return _agent_by_agent(told, agents, near, late)


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """Tokens of texts in a row.

    Attributes:
        vectors: int8, shape (tokens, dim).
        rarity: weights of the tokens, shape (tokens,).
        firsts, lengths: of each text: its first token, how many it has, shape (texts,).
        sums: of the weights of each text, shape (texts,).
    """

    vectors: np.ndarray
    rarity: np.ndarray
    firsts: np.ndarray
    lengths: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[tuple[Encoded, np.ndarray]], late: LateInteraction) -> "_Told":
        rarity = late.rarity(np.concatenate([numbers for _, numbers in texts]))
        lengths = np.array([len(numbers) for _, numbers in texts])
        firsts = offsets(lengths)
        vectors = np.concatenate([encoded.token_vectors for encoded, _ in texts])
        return cls(vectors, rarity, firsts, lengths, np.add.reduceat(rarity, firsts))

    def pieces(self, asking: np.ndarray, at_once: int) -> Iterator[slice]:
        """Yield stretches of some texts with so many tokens together, one text at least."""
        ends, start = np.cumsum(self.lengths[asking]), 0
        while start < len(asking):
            before = int(ends[start - 1]) if start else 0
            end = max(int(np.searchsorted(ends, before + at_once, side="right")), start + 1)
            yield slice(start, end)
            start = end


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Tokens of agents, and their texts, in a row.

    Attributes:
        agents: the tokens of each.
        rarity: weights of the tokens, shape (tokens,).
        firsts, lengths: of each agent: its first token, how many it has, shape (agents,).
        text_lengths, text_sums: of each text: its tokens, the sum of their weights.
        first_texts, texts: of each agent: its first text, how many it has, shape (agents,).
    """

    agents: Sequence[Tokens]
    rarity: np.ndarray
    firsts: np.ndarray
    lengths: np.ndarray
    text_lengths: np.ndarray
    text_sums: np.ndarray
    first_texts: np.ndarray
    texts: np.ndarray

    @classmethod
    def of(cls, agents: Sequence[Tokens], late: LateInteraction) -> "_Held":
        rarity = late.rarity(np.concatenate([agent.numbers for agent in agents]))
        lengths = np.array([len(agent.numbers) for agent in agents])
        texts = np.array([len(agent.lengths) for agent in agents])
        text_lengths = np.concatenate([agent.lengths for agent in agents])
        text_sums = np.add.reduceat(rarity, offsets(text_lengths))
        firsts, first_texts = offsets(lengths), offsets(texts)
        return cls(agents, rarity, firsts, lengths, text_lengths, text_sums, first_texts, texts)


def _text_by_text(told: _Told, held: _Held, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return *to* and *fro*; places of the agents among those held, shape (texts, near)."""
    to, fro = np.empty(places.shape), np.empty(places.shape)
    ends = told.firsts + told.lengths
    for number, (start, end, near) in enumerate(zip(told.firsts, ends, places, strict=True)):
        agents = [held.agents[place] for place in near.tolist()]
        vectors = np.concatenate([one for agent in agents for one in agent.vectors])
        dots = next(products([vectors], told.vectors[start:end]))
        starts, every = _ranges(held.firsts[near], held.lengths[near])
        first_texts, texts = _ranges(held.first_texts[near], held.texts[near])
        best = np.maximum.reduceat(dots, starts, axis=1).astype(np.float32) / _UNIT
        to[number] = told.rarity[start:end] @ best / told.sums[number]
        covered = dots.max(axis=0).astype(np.float32) / _UNIT * held.rarity[every]
        shares = np.add.reduceat(covered, offsets(held.text_lengths[texts]))
        fro[number] = np.maximum.reduceat(shares / held.text_sums[texts], first_texts)
    return to, fro


def _agent_by_agent(
    told: _Told, agents: Sequence[Tokens], near: np.ndarray, late: LateInteraction
) -> tuple[np.ndarray, np.ndarray]:
    to, fro = np.empty(near.size), np.empty(near.size)
    order = np.argsort(near, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(near.reshape(-1), minlength=len(agents)))[:-1]
    for agent, own in zip(agents, np.split(order, ends), strict=True):
        if len(own):
            to[own], fro[own] = _of_agent(told, agent, own // near.shape[1], late)
    return to.reshape(near.shape), fro.reshape(near.shape)


def _of_agent(
    told: _Told, agent: Tokens, asking: np.ndarray, late: LateInteraction
) -> tuple[np.ndarray, np.ndarray]:
    """Return *to* and *fro* of one agent and the texts that it is compared with."""
    own = late.rarity(agent.numbers)
    text_starts = offsets(agent.lengths)
    sums = np.add.reduceat(own, text_starts)[:, None]
    vectors = agent.vectors[0] if len(agent.vectors) == 1 else np.concatenate(agent.vectors)
    to, fro = np.empty(len(asking)), np.empty(len(asking))
    for piece in told.pieces(asking, _PRODUCTS // len(own)):
        some = asking[piece]
        starts, every = _ranges(told.firsts[some], told.lengths[some])
        dots = product_with_many(vectors, told.vectors[every])
        best = dots.max(axis=0).astype(np.float32) / _UNIT * told.rarity[every]
        to[piece] = np.add.reduceat(best, starts) / told.sums[some]
        nearest = np.maximum.reduceat(dots, starts, axis=1).astype(np.float32) / _UNIT
        shares = np.add.reduceat(nearest * own[:, None], text_starts, axis=0) / sums
        fro[piece] = shares.max(axis=0)
    return to, fro


def _ranges(firsts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where stretches begin when they are put in a row, and what stands in them."""
    starts = offsets(lengths)
    return starts, np.repeat(firsts - starts, lengths) + np.arange(lengths.sum())
