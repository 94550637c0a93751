"""IndexCache: one index per set of permitted agents, in step with a registry."""

import logging
import os
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from threading import Thread, Timer
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from ..embedders import Embedder, Encoded
from ..errors import InputError
from ..registry import Registry, permission_set
from ..system import Lock
from .index import Index
from .kept_store import is_kept, keep
from .state import Learned, State
from .store import Store

_log = logging.getLogger(__name__)
_LARGE = 64  # new agents from which on no task waits for their texts to be embedded
_QUIET = 60.0  # seconds without a change after which a large registry is kept
_BYTES = 2**29  # that the indexes of all callers take together, beside what they share
_Caller = tuple[Learned, frozenset[str] | None]
_CALLERS = 4096  # sets of permissions whose index is remembered; many may share one
_STALE = 64  # of them that saw no change but older ones: each holds what was there then
_UNUSED = 64  # entries of agents that are gone for which the store is not made anew
_LEARNED = 4  # sets of learned samples whose agents are held: a service has one


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a caller saw last: a version of the registry, and the index, None of no agent."""

    version: int
    index: Index | None


class IndexCache:
    """Keep indexes in step with a registry; shared by all copies of a program.

    Vectors, tokens and postings are held once. An index is a choice among them: agents that a
    caller may not use are left out before anything is counted, so that not even a word count or
    a weight depends on them. What the others say of themselves stays as it is written, even where
    it names one of them: taking names out of it would tell which exist.

    A change of the registry costs what changed. The task that finds it takes it over; others
    that come meanwhile are answered by what the same caller saw last, in which agents that were
    removed are not named. Where many agents are new, they are taken over in the background, and
    no task waits. Who lost the right to an agent waits. Each task is answered by one state from
    start to end.

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
        self._following = Lock()
        self._followers: dict[Learned, int] = {}  # in which process: a forked child does it itself
        self._store = Store(embed, known)
        self._states: OrderedDict[Learned, State] = OrderedDict()
        self._seen: OrderedDict[_Caller, _Seen] = OrderedDict()
        self._same: WeakValueDictionary[object, Index] = WeakValueDictionary()
        self._shown: dict[_Caller, tuple[int, Index, Index | None]] = {}
        self._turns: dict[_Caller, Lock] = {}
        self._building: dict[_Caller, int] = {}
        self._timer: Timer | None = None
        self._looks = 0

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
            version = self.registry.version
            seen = self._seen.get(caller)
            if seen is not None and seen.version >= version:
                self._seen.move_to_end(caller)
                return seen.index
            last = None if seen is None else seen.index
            busy = os.getpid() in (self._building.get(caller), self._followers.get(caller[0]))
            if last is not None and (busy or self._is_large(caller[0])):
                shown = self._still(last, caller, version)
                if shown is not None:
                    if not busy:
                        self._begin(caller, last)
                    return shown
            turn = self._turns.setdefault(caller, Lock())
            self._building[caller] = os.getpid()
        with turn:  # who sees nothing yet waits for it, others go on
            with self._lock:
                seen = self._seen.get(caller)
                if seen is not None and seen.version >= version:
                    return seen.index
            try:
                return self._look(caller, learned, last)
            finally:
                self._building.pop(caller, None)
                self._turns.pop(caller, None)

    def _is_large(self, key: Learned) -> bool:
        """Tell whether the registry has so many new agents that a task should not wait for them."""
        state = self._states.get(key)
        known = {} if state is None else state.sources
        return len({id(agent) for agent in self.registry} - known.keys()) > _LARGE

    def _begin(self, caller: _Caller, last: Index) -> None:
        """Take a change over in the background."""

        def take_over() -> None:
            try:
                self._look(caller, dict(caller[0]), last)
            except Exception:  # of any embedder; the next task tries again
                _log.exception("the registry changed: what it was before still serves")
            finally:
                self._building.pop(caller, None)

        self._building[caller] = os.getpid()
        Thread(target=take_over, name="follow-registry", daemon=True).start()

    def _still(self, last: Index, caller: _Caller, version: int) -> Index | None:
        """Return an older index without the agents that were removed since, None if none is left.

        Nor where the caller lost the right to one that is still there: nothing may depend on it.
        """
        known = self._shown.get(caller)
        if known is not None and known[0] == version and known[1] is last:
            return known[2]
        names = self.registry.permitted(caller[1])
        gone = [name for name in last.names if name not in names]
        if not gone:
            shown = last
        elif len(gone) == len(last.names) or any(name in self.registry for name in gone):
            shown = None
        else:
            shown = last.showing(names)
        self._shown[caller] = version, last, shown
        return shown

    def _look(
        self, caller: _Caller, learned: Mapping[str, tuple[str, ...]], last: Index | None
    ) -> Index | None:
        """Return the index of a caller as the registry is now."""
        state = self._followed(caller[0], learned)
        chosen = state.permitted(caller[1])
        key = state.key, np.packbits(chosen).tobytes()
        with self._lock:
            index = self._same.get(key)
        if index is None and chosen.any():
            index = Index.over(state.members.only(chosen))
            if last is not None and not _lost(last, index, self.registry):
                index.follow(last)
        with self._lock:
            if index is not None:
                self._same[key] = index
            self._seen[caller] = _Seen(state.version, index)
            self._seen.move_to_end(caller)
            self._shown.pop(caller, None)
            self._make_room()
        return index

    def _followed(self, key: Learned, learned: Mapping[str, tuple[str, ...]]) -> State:
        """Return the agents as the registry has them now."""
        with self._lock:
            state = self._states.get(key)
            if state is not None and state.version >= self.registry.version:
                self._states.move_to_end(key)
                return state
        with self._following:
            try:
                self._followers[key] = os.getpid()
                state = self._states.get(key) or State.empty(self._store)
                state = state.after(self.registry, learned)
                with self._lock:
                    self._states[key] = state
                    self._states.move_to_end(key)
                    while len(self._states) > _LEARNED:
                        self._states.popitem(last=False)
                self._clear_away()
                state = self._states[key]
                self._keep_later(key)
                return state
            finally:
                self._followers.pop(key, None)

    def _keep_later(self, key: Learned) -> None:
        """Keep what a large registry became, for the next process, once it changes no more."""
        if self._timer is not None:
            self._timer.cancel()
        if not is_kept(self._store, len(self._states[key].members.names)):
            return

        def keep_now() -> None:
            members = self._states[key].members if key in self._states else None
            if members is not None:
                keep(members.store, members.entries, members.snapshot)

        self._timer = Timer(_QUIET, keep_now)
        self._timer.daemon = True
        self._timer.start()

    def _clear_away(self) -> None:
        """Make the store anew of what is in use, once more than half of it is not."""
        most = max(len(state.members.names) for state in self._states.values())
        if len(self._store) <= _UNUSED + 2 * most:
            return
        entries = list(
            {id(e): e for state in self._states.values() for e in state.members.entries}.values()
        )
        if len(self._store) <= _UNUSED + 2 * len(entries):
            return
        store, moved = self._store.compacted(entries)
        places = {id(entry): new for entry, new in zip(entries, moved, strict=True)}
        states = {key: state.moved(store, places) for key, state in self._states.items()}
        with self._lock:
            self._store, self._states = store, OrderedDict(states)

    def _make_room(self) -> None:
        """Drop what callers saw that did not come for longest; never the newest."""
        newest = next(reversed(self._seen.values())).version
        stale = [caller for caller, seen in self._seen.items() if seen.version < newest - 1]
        for caller in stale[:-_STALE]:
            self._drop(caller)
        while len(self._seen) > _CALLERS:
            self._drop(next(iter(self._seen)))
        self._looks += 1
        if self._looks % max(len(self._seen) // 16, 1):  # adding up takes longer with many
            return
        while len(self._seen) > 1 and self._size() > _BYTES:
            self._drop(next(iter(self._seen)))

    def _size(self) -> int:
        held = {id(seen.index): seen.index for seen in self._seen.values()}.values()
        return sum(index.nbytes for index in held if index is not None)

    def _drop(self, caller: _Caller) -> None:
        del self._seen[caller]
        self._shown.pop(caller, None)


def _lost(last: Index, index: Index, registry: Registry) -> bool:
    """Tell whether a caller lost the right to an agent: nothing may depend on it any more."""
    gone = set(last.names).difference(index.names)
    return any(name in registry for name in gone)
