"""How well an encoder tells a registry's agents apart: what stops a training and chooses of it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from optimize.data import Dataset
from task_delegator.registry import texts_of

_REQUESTS = 200  # of a registry, a fixed random part: more take minutes
_AGENTS = 600  # of a registry that are told apart: those asked for, and others

Encode = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Questions:
    """The validation requests of a registry that was not trained on.

    Attributes:
        texts: of the agents, each one's in turn; ``owners`` says whose.
        acceptable: per request the places of its agents.
    """

    registry: str
    agents: int
    texts: tuple[str, ...]
    owners: np.ndarray
    requests: tuple[str, ...]
    acceptable: tuple[frozenset[int], ...]

    def rank(self, encode: Encode) -> dict[str, float]:
        """Return top-1 and mean reciprocal rank by the cosine with the agents' mean texts."""
        vectors = encode([*self.texts, *self.requests])
        own, asked = vectors[: len(self.texts)], vectors[len(self.texts) :]
        means = np.zeros((self.agents, vectors.shape[1]))
        np.add.at(means, self.owners, own)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        order = np.argsort(-(asked @ means.T), axis=1, kind="stable")
        ranks = np.array(
            [
                1 + min(np.flatnonzero(np.isin(row, list(right))))
                for row, right in zip(order, self.acceptable, strict=True)
            ]
        )
        return {
            "n": len(ranks),
            "top1": float((ranks == 1).mean()),
            "mrr": float((1 / ranks).mean()),
        }


def questions(dataset: Dataset, seed: int) -> Questions:
    """Return a fixed part of a registry's validation requests, with the agents they choose from."""
    rng = random.Random(seed)
    requests = list(dataset.splits["validation"])
    requests = rng.sample(requests, min(_REQUESTS, len(requests)))
    asked = {name for request in requests for name in request.acceptable}
    others = [agent for agent in dataset.registry if agent.name not in asked]
    fill = rng.sample(others, min(max(_AGENTS - len(asked), 0), len(others)))
    agents = [*(agent for agent in dataset.registry if agent.name in asked), *fill]
    places = {agent.name: place for place, agent in enumerate(agents)}
    texts = [(text, place) for place, agent in enumerate(agents) for text in texts_of(agent)]
    return Questions(
        dataset.path.name,
        len(agents),
        tuple(text for text, _ in texts),
        np.array([place for _, place in texts]),
        tuple(request.text for request in requests),
        tuple(frozenset(places[name] for name in r.acceptable) for r in requests),
    )
