"""Reranker: the protocol that every reranker implements."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Reranker(Protocol):
    """Read a task and an agent's text together: a cross-encoder.

    Attributes:
        id: goes into a program's manifest.
    """

    id: str

    def score(self, task: str, texts: Sequence[str]) -> np.ndarray:
        """Return how well each agent fits, float32, shape (texts,); the higher, the better.

        Args:
            task: in plain words.
            texts: of agents, as ``agent_text`` writes them.
        """
        ...
