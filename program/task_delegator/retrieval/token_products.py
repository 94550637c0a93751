"""Dot products of a text's tokens with those of agents' texts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .int8_products import products

_AT_ONCE = 4000  # tokens that are gathered and multiplied together: 1.5 MB of 384 dimensions


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Texts of one agent, token by token.

    Attributes:
        vectors: of each text, uint8 with the zero at 128, shape (tokens, dim).
        numbers: of all these tokens, int32.
        starts: where each text begins among them, and where the last ends.
    """

    vectors: tuple[np.ndarray, ...]
    numbers: np.ndarray
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Texts of several agents in a row, without those that have no tokens.

    Attributes:
        vectors: of each text, as in ``Tokens``.
        numbers: of their tokens, shape (tokens,).
        lengths: how many tokens each text has.
        texts: how many of the texts each agent has.
    """

    vectors: list[np.ndarray]
    numbers: np.ndarray
    lengths: list[int]
    texts: list[int]

    @classmethod
    def of(cls, agents: Iterable[tuple[Tokens, Iterable[int]]]) -> "Compared":
        """Return the texts in some places of each agent."""
        vectors, numbers, lengths, texts = [], [np.zeros(0, np.int32)], [], []
        for tokens, places in agents:
            before = len(lengths)
            for place in places:
                start, end = tokens.starts[place], tokens.starts[place + 1]
                if start < end:
                    vectors.append(tokens.vectors[place])
                    numbers.append(tokens.numbers[start:end])
                    lengths.append(end - start)
            texts.append(len(lengths) - before)
        return cls(vectors, np.concatenate(numbers), lengths, texts)


@dataclass(frozen=True, slots=True)
class Block:
    """Dot products of a text's tokens with those of some agents' texts.

    Attributes:
        dots: int32, shape (text's tokens, agents' tokens).
        starts: where the tokens of each of the agents' texts begin.
    """

    dots: np.ndarray
    starts: list[int]


def blocks(vectors: np.ndarray, compared: Compared) -> Iterator[Block]:
    """Yield the products with agents that have tokens: each is read while it is in a cache.

    Args:
        vectors: of the text's tokens, int8, shape (tokens, dim).
        compared: texts of the agents, and of others that have none.
    """
    groups = [*_grouped(compared)]
    held = (np.concatenate(compared.vectors[texts]) for texts, _ in groups)
    for (_, starts), dots in zip(groups, products(held, vectors), strict=True):
        yield Block(dots, starts)


def _grouped(compared: Compared) -> Iterator[tuple[slice, list[int]]]:
    """Yield texts, ``_AT_ONCE`` tokens and hardly more, and where the tokens of each begin."""
    first = tokens = 0
    starts: list[int] = []
    for text, length in enumerate(compared.lengths):
        if tokens >= _AT_ONCE:
            yield slice(first, text), starts
            first, tokens, starts = text, 0, []
        starts.append(tokens)
        tokens += length
    yield slice(first, len(compared.lengths)), starts
