"""Which passages of their instructions and tools agents are found by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..knobs import KnobValues
from ..registry import Agent, passages_of, searched_name

# Passages that an index holds token by token, 0.06 MB each: 0.5 GB. Beyond two thousand agents
# each keeps fewer of them, one at least; words and characters are read of all.
_MOST_ENCODED = 8000


@dataclass(frozen=True, slots=True)
class Passages:
    """What is read of agents beside names, descriptions and samples.

    Attributes:
        texts: per agent, passages for words and characters.
        encoded: per agent, the texts that late interaction compares: the first passages, each
            after the agent's name, which tells it from a like passage of another.
    """

    texts: tuple[tuple[str, ...], ...]
    encoded: tuple[tuple[str, ...], ...]


def read_passages(
    agents: Sequence[Agent],
    reading: tuple[int, bool],
    cut: Callable[[Agent, int], tuple[str, ...]] = passages_of,
) -> Passages | None:
    """Return what is read of agents, None where that is nothing.

    Args:
        agents: the agents of an index, in its order.
        reading: see ``reading_of``.
        cut: ``passages_of``, or what remembers it.
    """
    most, beside_samples = reading
    texts = tuple(
        cut(agent, most) if beside_samples or not agent.user_request_samples else ()
        for agent in agents
    )
    readers = sum(map(bool, texts))
    if not readers:
        return None
    kept = max(_MOST_ENCODED // readers, 1)
    named = (_named(agent, own[:kept]) for agent, own in zip(agents, texts, strict=True))
    return Passages(texts, tuple(named))


def _named(agent: Agent, passages: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{searched_name(agent.name)}. {text}" for text in passages)


def reading_of(knobs: KnobValues) -> tuple[int, bool]:
    """Return how many passages are read of an agent, and whether beside samples too."""
    most = knobs.retrieval.passages
    return most, bool(most) and knobs.retrieval.passages_beside_samples
