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
from task_delegator.stages import Shortlist as Cards
from task_delegator.text import one_line

MAX_AGENTS = 10  # agents on a shortlist to train on
_SIZES = (3, 4, 4, 4, 5, 5, 5, 5, 6, 10)  # as compiled programs show them, and more
_EASY_SIZES = (2, 2, 3, 3, 4)
_EASY_UNTIL, _HARD_FROM = 0.2, 0.6  # of a training: all easy before, all hard after
_NONE_SHARE = 0.08  # of the shortlists lack an acceptable agent: the label is the none-slot
_MAX_REQUESTS = 1500  # requests of a registry that are retrieved for; more cost time, not variety
_MIN_WEIGHT = 0.15  # least sampling weight of a request that retrieval is confident about


@dataclass(frozen=True, slots=True)
class Shortlist:
    """A task and the agents it is shown with.

    Attributes:
        acceptable: places of acceptable agents; empty where none of them is on the shortlist.
    """

    registry: str
    task: str
    agents: tuple[Agent, ...]
    acceptable: frozenset[int]

    @property
    def slot(self) -> str:
        """The answer to train on."""
        return SLOTS[min(self.acceptable)] if self.acceptable else NONE_SLOT

    def reversed(self) -> "Shortlist":
        """Return the shortlist with its agents in reverse order."""
        last = len(self.agents) - 1
        acceptable = frozenset(last - place for place in self.acceptable)
        return replace(self, agents=self.agents[::-1], acceptable=acceptable)

    def inputs(self) -> dict[str, str]:
        """Return the fields of ``SelectAgent`` as ``ClassifyAgent`` fills them."""
        return {
            "task": one_line(self.task),
            "candidates": Cards(self.agents).text(),
        }

    def messages(self) -> list[dict[str, str]]:
        """Return the prompt that ``ClassifyAgent`` sends."""
        return SlotAdapter().format(SelectAgent, demos=[], inputs=self.inputs())


class RetrievedRequests:
    """Requests of one registry with the agents that retrieval ranks first for each.

    Args:
        dataset: a registry with labeled requests.
        splits: which of its requests to take.
        knobs: the compiled retriever's.
        samples: take the agents' own sample requests as well.
        limit: of requests, a fixed random part; None for all.

    Attributes:
        tasks: per request the text that the LM reads, without agents' names as in ``Delegator``.
        uncertainty: per request one minus the highest posterior. Requests that are themselves
            indexed samples get the mean of the others.

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
        limit: int | None = _MAX_REQUESTS,
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
            :, : max(MAX_AGENTS, knobs.retrieval.k) + 1
        ]
        top = np.take_along_axis(fused, self._order, axis=1)
        posterior = np.exp(top - top.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        self.uncertainty = np.maximum(1.0 - posterior[:, 0], _MIN_WEIGHT)
        is_sample = np.array([self._is_sample(number) for number in range(len(self.requests))])
        others = is_sample if is_sample.all() else ~is_sample
        self.uncertainty[is_sample] = self.uncertainty[others].mean()

    @property
    def agents(self) -> Sequence[Agent]:
        """Return every agent of the registry."""
        return self._index.agents

    def retrieve(self, number: int, size: int) -> list[Agent]:
        """Return the highest-ranked agents for a request, in order."""
        return [self._index.agents[place] for place in self._order[number, :size]]

    def shortlists(self, size: int) -> list[Shortlist]:
        """Return the shortlists in retrieval's order that hold an acceptable agent."""
        shown = []
        for number, request in enumerate(self.requests):
            agents = tuple(self.retrieve(number, size))
            acceptable = places(agents, request)
            if acceptable:
                shown.append(Shortlist(self.name, self.tasks[number], agents, acceptable))
        return shown

    def expected(self, number: int) -> Agent:
        """Return the agent on the label."""
        return self._index.agents[self._index.names.index(self.requests[number].expected)]

    def _is_sample(self, number: int) -> bool:
        """Tell whether the request is a sample of its agent."""
        return self.requests[number].text in self.expected(number).user_request_samples


def places(agents: Sequence[Agent], request: Request) -> frozenset[int]:
    """Return the places of acceptable agents on a shortlist."""
    return frozenset(i for i, agent in enumerate(agents) if agent.name in request.acceptable)


def draw_shortlists(
    sources: Sequence[RetrievedRequests], number: int, seed: int
) -> Iterator[Shortlist]:
    """Yield shortlists to train on, registries in turn by the root of their requests.

    A curriculum (Bengio et al., 2009): first few agents drawn at random, which makes the
    choice easy, then more and more retrieved shortlists, hard requests more often.
    Agents are shuffled and their texts varied, so that the LM does not rely on the style of one
    registry.
    """
    rng = random.Random(seed)
    shares = [len(source.requests) ** 0.5 for source in sources]
    for place in range(number):
        done = place / number
        hard = rng.random() < (done - _EASY_UNTIL) / (_HARD_FROM - _EASY_UNTIL)
        (source,) = rng.choices(sources, shares)
        weights = source.uncertainty.tolist() if hard else None
        (request,) = rng.choices(range(len(source.requests)), weights)
        yield _draw_shortlist(source, request, hard, rng)


def _draw_shortlist(
    source: RetrievedRequests, number: int, hard: bool, rng: random.Random
) -> Shortlist:
    request, expected = source.requests[number], source.expected(number)
    size = rng.choice(_SIZES if hard else _EASY_SIZES)
    if hard:
        drawn = source.retrieve(number, size + 1)
    else:
        drawn = rng.sample(source.agents, min(size + 1, len(source.agents)))
    rivals = [agent for agent in drawn if agent.name not in request.acceptable]
    missing = rng.random() < _NONE_SHARE and bool(rivals)
    shown = rivals[:size] if missing else [expected, *rivals[: size - 1]]
    rng.shuffle(shown)
    acceptable = places(shown, request)
    samples = [[t for t in agent.user_request_samples if t != request.text] for agent in shown]
    all_described = all(agent.description for agent in shown)
    description = all_described and rng.random() < (0.7 if hard else 0.5)
    least = 0 if description else 1  # without a description samples are all there is
    view = _AgentView(
        description=description,
        do_not_use_when=rng.random() < (0.4 if hard else 0.1),
        samples=min(max(rng.choice((0, 1, 2, 2) if hard else (0, 1)), least), *map(len, samples)),
        name=rng.choice(("", "", "lower", "title")),
    )
    agents = tuple(
        _vary_agent(agent, view, rng.sample(texts, view.samples))
        for agent, texts in zip(shown, samples, strict=True)
    )
    return Shortlist(source.name, source.tasks[number], agents, acceptable)


@dataclass(frozen=True, slots=True)
class _AgentView:
    """The fields of its agents that a shortlist shows, to vary the style of registries.

    All agents of a shortlist show the same fields, or the fields would give the label away.
    """

    description: bool
    do_not_use_when: bool
    samples: int
    name: str


def _vary_agent(agent: Agent, view: _AgentView, samples: Sequence[str]) -> Agent:
    return agent.model_copy(
        update={
            "name": getattr(readable(agent.name), view.name)() if view.name else agent.name,
            "description": agent.description if view.description else "",
            "do_not_use_when": agent.do_not_use_when if view.do_not_use_when else "",
            "user_request_samples": tuple(samples),
        }
    )
