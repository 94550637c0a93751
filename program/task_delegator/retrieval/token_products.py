"""Dot products of a task's tokens with those of agents, each calculated once.

The parts of a task that are pooled from its own pass of the encoder have tokens of the task: what
was multiplied for the task, or for another part, is not multiplied again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np

from .int8_products import products

_AT_ONCE = 4000  # tokens that are gathered and multiplied together: 1.5 MB of 384 dimensions


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


@dataclass(frozen=True, slots=True)
class Block:
    """Dot products of a text's tokens with those of some agents.

    Attributes:
        dots: int32, shape (text's tokens, agents' tokens).
        starts: where the tokens of each agent begin.
    """

    dots: np.ndarray
    starts: list[int]


class TokenProducts(Protocol):
    """Dot products of the tokens of a text with those of agents."""

    def __call__(self, agents: Sequence[Tokens]) -> Iterable[Block]:
        """Return the products with some agents, each of which has tokens, in their order."""
        ...


class FreshProducts:
    """Products that are not asked for again.

    Args:
        vectors: of the text's tokens, int8, shape (tokens, dim).
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors

    def __call__(self, agents: Sequence[Tokens]) -> Iterator[Block]:
        """Yield the products, see ``TokenProducts``: each block is read while it is in a cache."""
        groups = _grouped(agents)
        held = (np.concatenate([v for agent in group for v in agent.vectors]) for group in groups)
        for group, dots in zip(groups, products(held, self._vectors), strict=True):
            yield Block(dots, _starts(group))


class KeptProducts:
    """Products of a task of which parts are compared too.

    Args:
        vectors: of the task's tokens, int8, shape (tokens, dim).
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._fresh = FreshProducts(vectors)
        # By identity, which holds as long as the agent's tokens, that are held with them.
        self._known: dict[int, tuple[Tokens, np.ndarray]] = {}

    def __call__(self, agents: Sequence[Tokens]) -> list[Block]:
        """Return the products, see ``TokenProducts``."""
        new = [agent for agent in agents if id(agent) not in self._known]
        made = [*self._fresh(new)] if new else []
        following = iter(new)
        for block in made:
            for start in block.starts:
                agent = next(following)
                self._known[id(agent)] = agent, block.dots[:, start : start + len(agent.numbers)]
        if len(new) == len(agents):
            return made
        return [Block(self._known[id(agent)][1], [0]) for agent in agents]

    def of_part(self, places: Sequence[int]) -> "PartProducts":
        """Return the products of some of the task's tokens."""
        return PartProducts(self, places)


class PartProducts:
    """Products of a part of a task.

    Args:
        whole: of the task.
        places: of the part's tokens among the task's.
    """

    def __init__(self, whole: KeptProducts, places: Sequence[int]) -> None:
        self._whole, self._places = whole, _stretch(places)

    def __call__(self, agents: Sequence[Tokens]) -> list[Block]:
        """Return the products, see ``TokenProducts``."""
        dots = [block.dots[self._places] for block in self._whole(agents)]
        return [Block(np.concatenate(dots, axis=1), _starts(agents))]


def _grouped(agents: Sequence[Tokens]) -> list[list[Tokens]]:
    """Return the agents in groups of ``_AT_ONCE`` tokens and hardly more."""
    groups: list[list[Tokens]] = []
    room = 0
    for agent in agents:
        if room <= 0:
            groups.append([])
            room = _AT_ONCE
        groups[-1].append(agent)
        room -= len(agent.numbers)
    return groups


def _stretch(places: Sequence[int]) -> slice | list[int]:
    """Return places as a slice, whose rows are not copied, where they follow on each other."""
    first = places[0] if places else 0
    if list(places) == list(range(first, first + len(places))):
        return slice(first, first + len(places))
    return list(places)


def _starts(agents: Sequence[Tokens]) -> list[int]:
    return [0, *accumulate(len(agent.numbers) for agent in agents[:-1])]
