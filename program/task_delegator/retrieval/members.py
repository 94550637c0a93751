"""Members: the agents that an index sees, with their entries in a store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from ..embedders import Embedder, Encoded
from ..registry import Agent, passages_of
from ..text import AgentMentions, NamedAgents
from .passages import Passages
from .store import Content, Entry, Snapshot, Store

_ENOUGH = 5  # samples of an agent: with fewer its description is heard in their place, in part


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """Agents in name order, so that the order in which they were registered cannot matter.

    Attributes:
        store, snapshot: what holds their contents, and its state that all of them are in.
        agents, names, entries: one of each per agent.
        mentions, named: what finds their names in texts.
        numbers, first_samples, counts: of the entries: its number, the number of its first
            sample, how many samples it has; int32, shape (agents,).
        has_passages: whether the agent has passages to read, bool, shape (agents,).
    """

    store: Store
    snapshot: Snapshot
    agents: tuple[Agent, ...]
    names: tuple[str, ...]
    entries: tuple[Entry, ...]
    mentions: AgentMentions
    named: NamedAgents
    numbers: np.ndarray
    first_samples: np.ndarray
    counts: np.ndarray
    has_passages: np.ndarray

    @classmethod
    def of(
        cls, agents: Iterable[Agent], embed: Embedder, known: Mapping[str, Encoded] | None = None
    ) -> "Members":
        """Return agents in a store of their own."""
        ordered = sorted(agents, key=lambda agent: agent.name)
        store = Store(embed, known)
        entries, snapshot = store.entries([Content.of(agent) for agent in ordered])
        store.learn_names(agent.name for agent in ordered)
        return cls.holding(store, snapshot, ordered, entries)

    @classmethod
    def holding(
        cls, store: Store, snapshot: Snapshot, agents: Iterable[Agent], entries: Sequence[Entry]
    ) -> "Members":
        """Return agents with the entries that a store has of them, both in name order."""
        held = tuple(agents)
        names = tuple(agent.name for agent in held)
        places = np.array([(e.number, e.first_sample, e.samples) for e in entries], dtype=np.int32)
        numbers, firsts, counts = places.reshape(-1, 3).T.copy()
        has_passages = np.array([bool(passages_of(agent, 1)) for agent in held], dtype=bool)
        mentions, named = store.finders(names)
        own = (mentions, named, numbers, firsts, counts, has_passages)
        return cls(store, snapshot, held, names, tuple(entries), *own)

    @property
    def nbytes(self) -> int:
        """Return how much of memory these members take beside what is shared."""
        return 3 * 8 * len(self.names) + sum(array.nbytes for array in self._arrays)

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.numbers, self.first_samples, self.counts, self.has_passages

    def trust(self, described: np.ndarray) -> np.ndarray | None:
        """Return ``trust`` of ``AgentTexts``.

        A description is worth as much as a handful of samples: each of them says one thing, and
        agents are found less often by one to four alone than by what they say they do. A bare
        name is worth one sample.

        Args:
            described: whether an agent has a description, bool, shape (agents,).
        """
        counts = self.counts
        beside_name = counts / (counts + 1) * (_ENOUGH + 1) / _ENOUGH
        trust = np.minimum(np.where(described, counts / _ENOUGH, beside_name), 1.0)
        return None if (trust[counts > 0] == 1.0).all() else trust

    def only(self, chosen: np.ndarray) -> "Members":
        """Return some of the agents, these themselves where that is all.

        Args:
            chosen: bool, shape (agents,).
        """
        return self if chosen.all() else self._taken(chosen, self.snapshot)

    def _taken(self, chosen: np.ndarray, snapshot: Snapshot) -> "Members":
        names = tuple(compress(self.names, chosen))
        return Members(
            self.store,
            snapshot,
            tuple(compress(self.agents, chosen)),
            names,
            tuple(compress(self.entries, chosen)),
            *self.store.finders(names),
            *(array[chosen] for array in self._arrays),
        )

    def changed(self, left: np.ndarray, new: "Members") -> "tuple[Members, np.ndarray]":
        """Return the agents that are left and new ones, and the order of both together.

        Args:
            left: which of these stay, bool, shape (agents,).
            new: further agents in the same store, in a later snapshot.
        """
        old = self._taken(left, new.snapshot)
        names = (*old.names, *new.names)
        order = sorted(range(len(names)), key=names.__getitem__)
        agents, entries = (*old.agents, *new.agents), (*old.entries, *new.entries)
        names = tuple(map(names.__getitem__, order))
        arrays = zip(old._arrays, new._arrays, strict=True)
        members = Members(
            self.store,
            new.snapshot,
            tuple(map(agents.__getitem__, order)),
            names,
            tuple(map(entries.__getitem__, order)),
            *self.store.finders(names),
            *(np.concatenate(pair)[order] for pair in arrays),
        )
        return members, np.array(order, dtype=int)

    def reading(self, reading: tuple[int, bool], passages: Passages) -> "Members":
        """Return the same agents with passages, in the store that reads so many of them."""
        store = self.store.reading(reading)
        entries, snapshot = store.further(self.entries, self.agents, passages)
        numbers = np.fromiter((entry.number for entry in entries), np.int32, len(entries))
        return replace(self, store=store, snapshot=snapshot, entries=entries, numbers=numbers)
