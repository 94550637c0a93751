"""Library: one index per set of permitted agents, in step with a registry."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from threading import Lock
from typing import Any

from .agents import Agent, Registry
from .embed import Embedder, Encoded
from .errors import InputError
from .index import Index, texts_of

_INDEXES = 32  # sets of permitted agents kept at a time: roles, not persons


class Library:
    """Keep indexes in step with a registry; shared by all copies of a program.

    Agents that a caller may not use are left out before the index is built, so that not even
    a word count or a weight depends on them. The first task of a new set of permitted
    agents waits for its index; texts are embedded once.

    Args:
        registry: the agents; later changes are followed.
        embed: the embedder.
    """

    def __init__(self, registry: Registry, embed: Embedder) -> None:
        self.registry = registry
        self.embed = embed
        self._lock = Lock()
        self._version = registry.version
        self._indexes: OrderedDict[object, Index] = OrderedDict()
        self._encodings: dict[str, Encoded] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Library":
        """Return itself: an optimiser's copies of the program read the same index."""
        return self

    def index(self, learned: Mapping[str, tuple[str, ...]]) -> Index:
        """Return the index of all agents.

        Raises:
            InputError: there are none.
        """
        index = self.permitted(learned, None)
        if index is None:
            raise InputError("the registry is empty: add at least one agent")
        return index

    def permitted(
        self, learned: Mapping[str, tuple[str, ...]], permissions: Collection[str] | None
    ) -> Index | None:
        """Return the index of what a caller may use, as the registry is now.

        Only new texts are embedded.

        Args:
            learned: further samples by agent name.
            permissions: the caller's; None for a caller without limits.

        Returns:
            The index, None where the caller may use no agent.
        """
        with self._lock:
            version = self.registry.version
            agents = [with_samples(agent, learned) for agent in self.registry]
            if version != self._version:
                self._version = version
                self._indexes.clear()
                kept = {text for agent in agents for text in texts_of(agent)}
                self._encodings = {t: e for t, e in self._encodings.items() if t in kept}
            agents = [agent for agent in agents if agent.permits(permissions)]
            if not agents:
                return None
            key = (frozenset(learned.items()), frozenset(agent.name for agent in agents))
            if key not in self._indexes:
                self._indexes[key] = index = Index(agents, self.embed, self._encodings)
                self._encodings |= index.encodings
                if len(self._indexes) > _INDEXES:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end(key)
            return self._indexes[key]


def with_samples(agent: Agent, learned: Mapping[str, tuple[str, ...]]) -> Agent:
    """Return the agent with further samples, each text once."""
    further = learned.get(agent.name, ())
    if not further:
        return agent
    samples = tuple(dict.fromkeys((*agent.user_request_samples, *further)))
    return agent.model_copy(update={"user_request_samples": samples})
