"""Reranker: the protocol that every reranker implements."""

from collections.abc import Sequence
from typing import Protocol

from numpy.typing import ArrayLike


class Reranker(Protocol):
    """Read a task and an agent's text together: a cross-encoder.

    Attributes:
        id: goes into a program's manifest.
    """

    id: str

    def score(self, task: str, texts: Sequence[str]) -> ArrayLike:
        """Return how well each agent fits, a number per text; the higher, the better.

        Args:
            task: in plain words.
            texts: of agents, as ``agent_text`` writes them.
        """
        ...
