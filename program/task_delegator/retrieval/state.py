"""State: all agents of a registry at a moment, with their entries in a store."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from ..registry import Agent, Registry
from .kept_store import entries_of
from .members import Members
from .store import Content, Entry, Store

Learned = frozenset[tuple[str, tuple[str, ...]]]  # further samples by agent name
_keys = count()


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A registry's agents as an index reads them; replaced when the registry changes.

    Attributes:
        version: of the registry.
        key: differs between states of different agents.
        members: the agents, with the samples that were learned.
        sources: the same, as the registry has them, by identity.
        needs: sets of permissions that some agent needs.
        need: which of them each agent needs, int, shape (agents,).
    """

    version: int
    key: int
    members: Members
    sources: Mapping[int, Agent]
    needs: tuple[frozenset[str], ...]
    need: np.ndarray

    @classmethod
    def empty(cls, store: Store) -> "State":
        """Return the state of no agents."""
        members = Members.holding(store, store.snapshot, (), ())
        return cls(-1, next(_keys), members, {}, (), np.zeros(0, dtype=int))

    def permitted(self, permissions: frozenset[str] | None) -> np.ndarray:
        """Return which agents a caller may use, bool, shape (agents,); None permits all."""
        if permissions is None:
            return np.ones(len(self.need), dtype=bool)
        return np.array([need <= permissions for need in self.needs], dtype=bool)[self.need]

    def after(self, registry: Registry, learned: Mapping[str, tuple[str, ...]]) -> "State":
        """Return the state of a registry as it is now; what did not change is not read again."""
        version = registry.version  # first: what changes from here on is found again
        sources = {id(agent): agent for agent in registry}
        new = [sources[place] for place in sources.keys() - self.sources.keys()]
        gone = [self.sources[place].name for place in self.sources.keys() - sources.keys()]
        if not new and not gone:
            return replace(self, version=version)
        new.sort(key=lambda agent: agent.name)
        old, store = self.members, self.members.store
        seen = [with_samples(agent, learned) for agent in new]
        entries, snapshot = entries_of(store, [Content.of(agent) for agent in seen])
        store.learn_names(agent.name for agent in new)
        left = np.ones(len(old.names), dtype=bool)
        left[[bisect_left(old.names, name) for name in gone]] = False
        fresh = Members.holding(store, snapshot, seen, entries)
        members, order = old.changed(left, fresh)
        needs = {need: place for place, need in enumerate(self.needs)}
        need = [needs.setdefault(agent.required_permissions, len(needs)) for agent in new]
        needed = np.concatenate([self.need[left], np.array(need, dtype=int)])[order]
        return State(version, next(_keys), members, sources, tuple(needs), needed)

    def moved(self, store: Store, entries: Mapping[int, Entry]) -> "State":
        """Return the same agents in another store.

        Args:
            store: that holds them.
            entries: its entries by the identity of those in this one.
        """
        old = self.members
        held = [entries[id(entry)] for entry in old.entries]
        store.learn_names(old.names)
        return replace(self, members=Members.holding(store, store.snapshot, old.agents, held))


def with_samples(agent: Agent, learned: Mapping[str, tuple[str, ...]]) -> Agent:
    """Return the agent with further samples, each text once."""
    further = learned.get(agent.name, ())
    if not further:
        return agent
    samples = tuple(dict.fromkeys((*agent.user_request_samples, *further)))
    return agent.model_copy(update={"user_request_samples": samples})
