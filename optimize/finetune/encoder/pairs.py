"""Pairs of texts that belong to one agent, and what stands for an agent in them."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from optimize.data import Dataset
from task_delegator.registry import Agent, description_text, passages_of

_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\s[-*#]+\s")
_SHORTEST = 25  # characters of a sentence that says something
_PASSAGES = 4  # of instructions, as the program reads them


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts of one agent.

    Attributes:
        registry, agent: whose texts they are; no batch holds an agent twice.
        anchor: a request; a sentence of the instructions where the agent has none.
        positive: another request, a sample, the description, or a sentence.
    """

    registry: str
    agent: str
    anchor: str
    positive: str


@dataclass(frozen=True, slots=True)
class AgentTexts:
    """The texts of an agent that may be trained on.

    Attributes:
        requests: train requests and samples.
        samples: samples alone, which stand for the agent in the index.
        sentences: of the instructions.
    """

    registry: str
    agent: str
    description: str
    requests: tuple[str, ...]
    samples: tuple[str, ...]
    sentences: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether there are two texts to pair."""
        distinct = {*self.requests, *self.sentences, self.description}
        return bool(self.requests or self.sentences) and len(distinct) > 1

    def draw(self, rng: random.Random, described: int) -> Pair:
        """Return a pair: request and sample, request and description, or sentence and either.

        Args:
            rng: draws it.
            described: one in so many pairs of a request leads to the description.
        """
        if self.requests and not (self.sentences and rng.random() < 1 / (1 + len(self.requests))):
            anchor = rng.choice(self.requests)
            others = [text for text in self.samples or self.requests if text != anchor]
            alone = not others or rng.randrange(described) == 0
            positive = self.description if alone else rng.choice(others)
        else:
            anchor, positive = rng.choice(self.sentences), self.description
        return Pair(self.registry, self.agent, anchor, positive)


def texts_to_pair(dataset: Dataset) -> list[AgentTexts]:
    """Return the texts of every agent that has two; of the splits, train alone is read."""
    asked: dict[str, list[str]] = {}
    for request in dataset.splits["train"]:
        asked.setdefault(request.expected, []).append(request.text)
    found = [
        AgentTexts(
            dataset.path.name,
            agent.name,
            description_text(agent),
            (*asked.get(agent.name, ()), *agent.user_request_samples),
            agent.user_request_samples,
            _sentences(agent),
        )
        for agent in dataset.registry
    ]
    return [texts for texts in found if texts.usable]


def _sentences(agent: Agent) -> tuple[str, ...]:
    passages: Sequence[str] = passages_of(agent, _PASSAGES)
    pieces = [piece.strip() for passage in passages for piece in _SENTENCE.split(passage)]
    return tuple(dict.fromkeys(piece for piece in pieces if len(piece) >= _SHORTEST))
