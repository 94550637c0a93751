"""IndexCache: one index per set of permitted agents, in step with a registry."""

import os
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

from ..embedders import Embedder, Encoded
from ..errors import InputError
from ..registry import Agent, Registry, permission_set, texts_of
from ..thread_lock import Lock
from .index import Index
from .passages import named_passages

_CALLERS = 1024  # sets of permissions whose index is remembered
# In all indexes together, readings of passages counted: at 10,000 agents an index takes some
# 0.5 GB, and 1.5 GB more where passages are read of all.
_AGENTS = 40_000
_Caller = tuple[frozenset[tuple[str, tuple[str, ...]]], frozenset[str] | None]
_INDEXES = 32  # sets of permitted agents kept at a time: roles, not persons


class IndexCache:
    """Keep indexes in step with a registry; shared by all copies of a program.

    Agents that a caller may not use are left out before the index is built, so that not even
    a word count or a weight depends on them. What the others say of themselves stays as it is
    written, even where it names one of them: taking names out of it would tell which exist. The
    first task of a new set of permitted agents waits for its index; texts are embedded once.

    After a change of the registry, one task builds the new index and is answered by it. Others
    that come meanwhile are answered by the last one of the same caller, in which agents that were
    removed are not named. Who lost the right to an agent waits.

    Args:
        registry: the agents; later changes are followed.
        embed: the embedder.
        known: texts that were encoded before, by text; reused.
    """

    def __init__(
        self, registry: Registry, embed: Embedder, known: Mapping[str, Encoded] | None = None
    ) -> None:
        self.registry = registry
        self.embed = embed
        self._lock = Lock()
        self._version = registry.version
        self._indexes: OrderedDict[object, Index] = OrderedDict()
        self._turns: dict[object, Lock] = {}
        self._names: dict[_Caller, frozenset[str]] = {}
        self._last: OrderedDict[_Caller, Index] = OrderedDict()  # of older versions
        self._building: dict[_Caller, int] = {}  # in which process: a forked child builds itself
        self._encodings: dict[str, Encoded] = dict(known or {})

    def __reduce__(self) -> "tuple[type[IndexCache], tuple[Registry, Embedder]]":
        """Leave out what is built: another process builds it from the agents."""
        return IndexCache, (self.registry, self.embed)

    def __deepcopy__(self, memo: dict[int, Any]) -> "IndexCache":
        """Return itself: an optimizer's copies of the program read the same index."""
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

        Raises:
            TypeError: the permissions are one text.
        """
        caller = frozenset(learned.items()), permission_set(permissions)
        with self._lock:
            version = self._follow(learned)
            if caller not in self._names:
                self._names[caller] = self.registry.permitted(permissions)
                if len(self._names) > _CALLERS:
                    self._names.pop(next(iter(self._names)))
            key = (caller[0], self._names[caller])
            if not key[1]:
                return None
            if key in self._indexes:
                self._indexes.move_to_end(key)
                return self._indexes[key]
            last = self._last.get(caller)
            if last is not None and self._building.get(caller) == os.getpid():
                shown = self._shown(last, key[1])
                if shown is not None:
                    return shown
            turn = self._turns.setdefault(key, Lock())
            self._building[caller] = os.getpid()
        with turn:  # who wants the same index and has no last one waits for it, others go on
            with self._lock:
                if key in self._indexes:
                    return self._indexes[key]
            try:
                index = self._build(learned, permissions, key[1])
                if last is not None:
                    index.prepare_like(last)
                with self._lock:
                    self._keep(caller, key, index, version)
            finally:
                self._building.pop(caller, None)
                self._turns.pop(key, None)
            return index

    def _shown(self, last: Index, names: frozenset[str]) -> Index | None:
        """Return an older index without the agents that were removed since, None if none is left.

        Nor where the caller lost the right to one that is still there: nothing may depend on it.
        """
        gone = [name for name in last.names if name not in names]
        if len(gone) == len(last.names) or any(name in self.registry for name in gone):
            return None
        return last.showing(names) if gone else last

    def _keep(self, caller: _Caller, key: object, index: Index, version: int) -> None:
        """Hold an index that was built: for itself, or in place of one still older."""
        if self._version != version:
            self._last[caller] = index
            return
        self._indexes[key] = index
        self._last.pop(caller, None)
        self._encodings = self._encodings | index.encodings
        _make_room(self._indexes)

    def _build(
        self,
        learned: Mapping[str, tuple[str, ...]],
        permissions: Collection[str] | None,
        names: frozenset[str],
    ) -> Index:
        agents = [
            with_samples(agent, learned)
            for agent in self.registry
            if agent.name in names and agent.permits(permissions)
        ]
        return Index(agents, self.embed, self._encodings)

    def _follow(self, learned: Mapping[str, tuple[str, ...]]) -> int:
        """Forget what was built for an older version of the registry; return the version."""
        version = self.registry.version
        if version == self._version:
            return version
        for index in self._indexes.values():  # passages were encoded after an index was built
            self._encodings = self._encodings | index.encodings
        for caller, names in self._names.items():
            index = self._indexes.get((caller[0], names))
            if index is not None:
                self._last[caller] = index
        _make_room(self._last)
        self._indexes.clear()
        self._names.clear()
        agents = [with_samples(agent, learned) for agent in self.registry]
        kept = {text for agent in agents for text in (*texts_of(agent), *named_passages(agent))}
        self._encodings = {text: e for text, e in self._encodings.items() if text in kept}
        self._version = version  # last: a child that is forked before does all this itself
        return version


def _make_room(indexes: OrderedDict[Any, Index]) -> None:
    """Drop the indexes that were not used for longest; never the newest."""

    def agents() -> int:
        return sum(index.agents_held for index in {id(i): i for i in indexes.values()}.values())

    while len(indexes) > 1 and (len(indexes) > _INDEXES or agents() > _AGENTS):
        indexes.popitem(last=False)


def with_samples(agent: Agent, learned: Mapping[str, tuple[str, ...]]) -> Agent:
    """Return the agent with further samples, each text once."""
    further = learned.get(agent.name, ())
    if not further:
        return agent
    samples = tuple(dict.fromkeys((*agent.user_request_samples, *further)))
    return agent.model_copy(update={"user_request_samples": samples})
