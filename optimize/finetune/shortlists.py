"""Shortlists to train the embedded LM on, drawn by the retriever from labeled requests.

A shortlist is what ``ClassifyAgent`` shows the LM: a task and a few agents, retrieved for it.
Beside the labeled requests of a registry, each sample request of an agent is a task as well;
the agent is then shown without it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimize.data import Dataset, Request
from optimize.search import ScoredRequests
from task_delegator.embedders import Embedder
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.registry import Agent, readable
from task_delegator.retrieval import Index
from task_delegator.signatures import NONE_SLOT, SLOTS, SelectAgent, SlotAdapter
from task_delegator.stages import render
from task_delegator.text import one_line

MOST = 10  # agents on a shortlist to train on
_SIZES = (3, 4, 4, 4, 5, 5, 5, 5, 6, 10)  # as compiled programs show them, and more
_EASY_SIZES = (2, 2, 3, 3, 4)
_EASY_UNTIL, _HARD_FROM = 0.2, 0.6  # of a training: all easy before, all hard after
_MISSING = 0.08  # of the shortlists lack the right agent: the answer is the none-slot
_POOL = 1500  # requests of a registry that are retrieved for; more cost time, not variety
_EASY = 0.15  # least weight of a request that retrieval is sure of; an even one has 1


@dataclass(frozen=True, slots=True)
class Shortlist:
    """A task and the agents it is shown with.

    Attributes:
        right: places of acceptable agents, none where the right one is missing.
    """

    registry: str
    task: str
    agents: tuple[Agent, ...]
    right: frozenset[int]

    @property
    def slot(self) -> str:
        """The answer to train on."""
        return SLOTS[min(self.right)] if self.right else NONE_SLOT

    def reversed(self) -> "Shortlist":
        """Return the same with its agents turned round."""
        last = len(self.agents) - 1
        right = frozenset(last - place for place in self.right)
        return replace(self, agents=self.agents[::-1], right=right)

    def inputs(self) -> dict[str, str]:
        """Return the fields of ``SelectAgent`` as ``ClassifyAgent`` fills them."""
        return {"task": one_line(self.task), "candidates": render(self.agents)}

    def messages(self) -> list[dict[str, str]]:
        """Return the prompt that ``ClassifyAgent`` sends."""
        return SlotAdapter().format(SelectAgent, demos=[], inputs=self.inputs())


class Retrieved:
    """Requests of one registry and what retrieval found for each.

    Args:
        dataset: a registry with labeled requests.
        splits: which of its requests to take.
        knobs: the compiled retriever's.
        samples: take the agents' own sample requests as well.
        limit: of requests, a fixed random part; None for all.

    Attributes:
        tasks: per request what the LM is asked, as ``Delegator`` does: without agents' names.
        unsure: per request, what retrieval leaves to the others than its first place. A text of
            the agent itself is found in the index, which says nothing: it has the mean of the
            others.

    Raises:
        InputError: there are no such requests.
    """

    def __init__(
        self,
        dataset: Dataset,
        splits: Sequence[str],
        knobs: KnobValues,
        embed: Embedder,
        *,
        samples: bool = False,
        limit: int | None = _POOL,
        seed: int = 0,
    ) -> None:
        self.name = dataset.path.name
        requests = [request for split in splits for request in dataset.splits[split]]
        if samples:
            requests += [
                Request(sample, (agent.name,))
                for agent in dataset.registry
                for sample in agent.user_request_samples
            ]
        if not requests:
            raise InputError(f"{dataset.path}: no request is left to draw shortlists for")
        random.Random(seed).shuffle(requests)
        self.requests = requests[:limit]
        self._index = Index(dataset.registry, embed)
        self.tasks = [self._index.mentions.strip_from(r.text)[0] for r in self.requests]
        scored = ScoredRequests(self._index, self.requests)
        fused = scored.fused(knobs) / knobs.retrieval.temperature
        self._order = np.argsort(-fused, axis=1, kind="stable")[
            :, : max(MOST, knobs.retrieval.k) + 1
        ]
        top = np.take_along_axis(fused, self._order, axis=1)
        likely = np.exp(top - top.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        self.unsure = np.maximum(1.0 - likely[:, 0], _EASY)
        own = np.array([self._says(number) for number in range(len(self.requests))])
        self.unsure[own] = self.unsure[own if own.all() else ~own].mean()

    @property
    def agents(self) -> Sequence[Agent]:
        """Return every agent of the registry."""
        return self._index.agents

    def found(self, number: int, size: int) -> list[Agent]:
        """Return the best agents for a request, best first."""
        return [self._index.agents[place] for place in self._order[number, :size]]

    def shortlists(self, size: int) -> list[Shortlist]:
        """Return the shortlists in retrieval's order that hold an acceptable agent."""
        shown = []
        for number, request in enumerate(self.requests):
            agents = tuple(self.found(number, size))
            right = places(agents, request)
            if right:
                shown.append(Shortlist(self.name, self.tasks[number], agents, right))
        return shown

    def expected(self, number: int) -> Agent:
        """Return the agent on the label."""
        return self._index.agents[self._index.names.index(self.requests[number].expected)]

    def _says(self, number: int) -> bool:
        """Tell whether the request is a sample of its agent."""
        return self.requests[number].text in self.expected(number).user_request_samples


def places(agents: Sequence[Agent], request: Request) -> frozenset[int]:
    """Return where acceptable agents stand."""
    return frozenset(i for i, agent in enumerate(agents) if agent.name in request.acceptable)


def draw(sources: Sequence[Retrieved], number: int, seed: int) -> Iterator[Shortlist]:
    """Yield shortlists to train on, registries in turn by the root of their requests.

    A curriculum (Bengio et al., 2009): few agents drawn at random first, of which the right one
    stands out, then ever more shortlists as retrieval finds them, hard requests more often.
    Agents are shuffled and their texts varied: an LM that is to read any registry must not rely
    on what one registry's agents always say.
    """
    rng = random.Random(seed)
    shares = [len(source.requests) ** 0.5 for source in sources]
    for place in range(number):
        done = place / number
        hard = rng.random() < (done - _EASY_UNTIL) / (_HARD_FROM - _EASY_UNTIL)
        (source,) = rng.choices(sources, shares)
        weights = source.unsure.tolist() if hard else None
        (request,) = rng.choices(range(len(source.requests)), weights)
        yield _drawn(source, request, hard, rng)


def _drawn(source: Retrieved, number: int, hard: bool, rng: random.Random) -> Shortlist:
    request, expected = source.requests[number], source.expected(number)
    size = rng.choice(_SIZES if hard else _EASY_SIZES)
    if hard:
        found = source.found(number, size + 1)
    else:
        found = rng.sample(source.agents, min(size + 1, len(source.agents)))
    rivals = [agent for agent in found if agent.name not in request.acceptable]
    missing = rng.random() < _MISSING and bool(rivals)
    shown = rivals[:size] if missing else [expected, *rivals[: size - 1]]
    rng.shuffle(shown)
    right = places(shown, request)
    samples = [[t for t in agent.user_request_samples if t != request.text] for agent in shown]
    can_describe = all(agent.description for agent in shown)
    description = can_describe and rng.random() < (0.7 if hard else 0.5)
    least = 0 if description else 1  # without a description samples are all there is
    look = _Look(
        description=description,
        do_not_use_when=rng.random() < (0.4 if hard else 0.1),
        samples=min(max(rng.choice((0, 1, 2, 2) if hard else (0, 1)), least), *map(len, samples)),
        name=rng.choice(("", "", "lower", "title")),
    )
    agents = tuple(
        _varied(agent, look, rng.sample(own, look.samples))
        for agent, own in zip(shown, samples, strict=True)
    )
    return Shortlist(source.name, source.tasks[number], agents, right)


@dataclass(frozen=True, slots=True)
class _Look:
    """What a shortlist shows of its agents: as another registry might have written them.

    All alike, or it would tell which is right; little at first, which costs less to learn from.
    """

    description: bool
    do_not_use_when: bool
    samples: int
    name: str


def _varied(agent: Agent, look: _Look, samples: Sequence[str]) -> Agent:
    return agent.model_copy(
        update={
            "name": getattr(readable(agent.name), look.name)() if look.name else agent.name,
            "description": agent.description if look.description else "",
            "do_not_use_when": agent.do_not_use_when if look.do_not_use_when else "",
            "user_request_samples": tuple(samples),
        }
    )
