"""What a reranker is trained on: requests with the agents that retrieval ranks first for each.

An agent is shown as the program shows it: by its name, the samples closest to the request, and its
description. No request is ranked by an index that holds the request itself.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimize.data import Dataset, Request
from optimize.search import ScoredRequests, fit_weights
from task_delegator.embedders import Embedder, remembering
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.registry import Agent, Registry
from task_delegator.rerankers import agent_text
from task_delegator.retrieval import Index

_HELD_OUT = 4  # one in so many samples of an agent is asked, and then is no sample
_LEAST_FITTED = 50  # requests to fit retrieval to; with fewer its defaults rank
_MOST_FITTED = 1000  # more say the same, and each takes memory for every agent
_TOGETHER = 500  # requests that are ranked at once


@dataclass(frozen=True, slots=True)
class Candidates:
    """A request with the agents that retrieval ranks first for it, best first.

    Attributes:
        texts: of the agents, as a reranker reads them.
        logits: of the agents' posterior by retrieval; the best one's is 0.
        acceptable: places of acceptable agents; empty where none of them is among the first.
    """

    registry: str
    task: str
    texts: tuple[str, ...]
    logits: tuple[float, ...]
    acceptable: frozenset[int]

    def first(self, number: int) -> "Candidates":
        """Return the first candidates; one that is acceptable takes the last place if need be."""
        kept = list(range(min(number, len(self.texts))))
        if self.acceptable and min(self.acceptable) >= number:
            kept[-1] = min(self.acceptable)
        return replace(
            self,
            texts=tuple(self.texts[place] for place in kept),
            logits=tuple(self.logits[place] for place in kept),
            acceptable=frozenset(new for new, old in enumerate(kept) if old in self.acceptable),
        )


def candidates_to_train_on(
    dataset: Dataset, embed: Embedder, *, size: int, limit: int, seed: int
) -> list[Candidates]:
    """Return the train requests and held-out samples of a registry, each with its candidates.

    Retrieval ranks with weights that are fitted to the same requests. Of the splits, train alone
    is read. A request that no acceptable agent is ranked for is left out. A registry of one agent
    has nothing to rank.

    Args:
        size: candidates of a request.
        limit: requests at most, a fixed random part.
        seed: of this part and of the samples that are held out.
    """
    if len(dataset.registry) < 2:
        return []
    rng = random.Random(seed)
    with remembering(embed):
        found: list[Candidates] = []
        for part, requests in _parts(dataset, rng):
            asked = rng.sample(requests, min(limit - len(found), len(requests)))
            if asked:
                index = Index(part, embed)
                found += ranked(dataset.path.name, index, asked, fitted(index, asked), size)
    return [own for own in found if own.acceptable]


def candidates_to_ask(
    dataset: Dataset, embed: Embedder, *, size: int, limit: int, seed: int
) -> list[Candidates]:
    """Return validation requests of a registry that is not trained on, with their candidates.

    Retrieval ranks with weights that are fitted to the train requests.

    Args:
        size, limit, seed: see ``candidates_to_train_on``.
    """
    rng = random.Random(seed)
    with remembering(embed):
        index = Index(dataset.registry, embed)
        train, asked = (
            rng.sample(requests, min(limit, len(requests)))
            for requests in (dataset.splits["train"], dataset.splits["validation"])
        )
        return ranked(dataset.path.name, index, asked, fitted(index, train), size)


def fitted(index: Index, requests: Sequence[Request]) -> KnobValues:
    """Return knobs with retrieval's weights fitted to requests; the defaults for too few."""
    if len(requests) < _LEAST_FITTED:
        return KnobValues()
    return fit_weights(ScoredRequests(index, requests[:_MOST_FITTED]), KnobValues())


def ranked(
    registry: str, index: Index, requests: Sequence[Request], knobs: KnobValues, size: int
) -> list[Candidates]:
    """Return requests with the agents that retrieval ranks first, ties broken by name."""
    known = {text: encoded.vector for text, encoded in index.encodings.items()}
    found = []
    for start in range(0, len(requests), _TOGETHER):
        some = requests[start : start + _TOGETHER]
        logits = ScoredRequests(index, some).fused(knobs) / knobs.retrieval.temperature
        vectors = [encoded.vector for encoded in index.embed.encode([r.text for r in some])]
        for request, vector, row in zip(some, vectors, logits, strict=True):
            best = np.argsort(-row, kind="stable")[:size].tolist()
            agents = [index.agents[place] for place in best]
            right = (i for i, agent in enumerate(agents) if agent.name in request.acceptable)
            found.append(
                Candidates(
                    registry,
                    index.mentions.strip_from(request.text)[0],
                    tuple(_text(agent, request.text, vector, known) for agent in agents),
                    tuple(float(row[place] - row[best[0]]) for place in best),
                    frozenset(right),
                )
            )
    return found


def draw_lists(
    sources: Sequence[Sequence[Candidates]], *, size: int, number: int, seed: int
) -> list[Candidates]:
    """Return what is trained on, in order: registries in turn by the root of their requests.

    All requests of a registry are taken, in another order each time, before one is taken again.

    Args:
        sources: each registry's requests; those without any are passed over.
        size: candidates of a request.
        number: requests to draw.

    Raises:
        InputError: no registry has a request to train on.
    """
    filled = [source for source in sources if source]
    if not filled:
        raise InputError(
            "finetune reranker: no training registry has train requests or samples to ask"
        )
    rng = random.Random(seed)
    turns = [_in_turns(source, random.Random(rng.random())) for source in filled]
    shares = [len(source) ** 0.5 for source in filled]
    places = rng.choices(range(len(filled)), shares, k=number)
    return [next(turns[place]).first(size) for place in places]


def _in_turns(source: Sequence[Candidates], rng: random.Random) -> Iterator[Candidates]:
    while True:
        yield from rng.sample(source, len(source))


def _parts(dataset: Dataset, rng: random.Random) -> Iterator[tuple[Registry, list[Request]]]:
    """Yield agents and requests that are not among their samples."""
    samples = {s for agent in dataset.registry for s in agent.user_request_samples}
    yield dataset.registry, [r for r in dataset.splits["train"] if r.text not in samples]
    gone: dict[str, list[str]] = {}
    for agent in dataset.registry:
        own = agent.user_request_samples
        gone |= {sample: [] for sample in rng.sample(own, len(own) // _HELD_OUT)}
    for agent in dataset.registry:
        for sample in gone.keys() & set(agent.user_request_samples):
            gone[sample].append(agent.name)
    agents = [_without(agent, gone) for agent in dataset.registry]
    yield Registry(agents), [Request(text, tuple(names)) for text, names in gone.items()]


def _without(agent: Agent, gone: Collection[str]) -> Agent:
    left = tuple(sample for sample in agent.user_request_samples if sample not in gone)
    return agent.model_copy(update={"user_request_samples": left})


def _text(agent: Agent, task: str, vector: np.ndarray, known: Mapping[str, np.ndarray]) -> str:
    samples = [sample for sample in agent.user_request_samples if sample != task]
    closest = sorted(samples, key=lambda s: -float(known[s] @ vector))
    return agent_text(agent, closest)
