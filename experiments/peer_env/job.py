"""Job of a peer: agents, labeled requests to tune on, requests to answer."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TOP_K = (1, 3, 5, 10, 20, 50, 100)  # texts that agents are ranked by
_FEW = 100  # requests that a slow grid is tried on first

Ranked = tuple[list[str], float]  # up to three agents, best first, and how sure
Ranker = Callable[[str], Ranked]
Labeled = tuple[str, list[str]]  # a request, and the agents that are right for it


class Job:
    """Agents, labeled requests to choose settings on, requests to answer, and vectors."""

    def __init__(self, folder: Path) -> None:
        content = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        self.agents: list[dict[str, Any]] = content["agents"]
        self.validation: list[Labeled] = content["validation"]
        self.few = self.validation[:: max(1, len(self.validation) // _FEW)]
        self.requests: list[str] = content["requests"]
        table = np.load(folder / "vectors.npz")
        self.vectors = dict(zip(content["texts"], table["vectors"], strict=True))

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield what each agent says of itself, text by text, as (name, text)."""
        for agent in self.agents:
            for text in [agent["described"], *agent["samples"]]:
                yield agent["name"], text

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of known texts."""
        return [self.vectors[text].tolist() for text in texts]


def rated(first: Sequence[str | None], labeled: Sequence[Labeled]) -> float:
    """Return how many of these first places are right."""
    pairs = zip(first, labeled, strict=True)
    return float(np.mean([name in right for name, (_, right) in pairs]))
