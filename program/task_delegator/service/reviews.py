"""What was delegated lately: feedback joins to it, and reviewers see what waits for them.

Where it is too much, the caller who takes the most room loses the oldest: no other does.
"""

import logging
import sys
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from itertools import chain
from uuid import uuid4

from ..choice import Choice
from ..delegation import Delegation
from ..system import Lock
from .access import Caller

_log = logging.getLogger(__name__)

REMEMBERED = 10_000  # delegations
_SHOWN = 100  # that wait, at a time
_BYTES = 2**27  # that their texts take together


@dataclass(frozen=True, slots=True)
class Given:
    """A delegation that was given to a caller.

    Attributes:
        request_id: that the caller knows it by.
        caller: who asked.
        permissions: under which the task was delegated; None without limits.
        choice: what the caller wished for beside it.
        delegation: what was answered.
    """

    request_id: str
    caller: str
    permissions: frozenset[str] | None
    choice: Choice
    delegation: Delegation

    @property
    def size(self) -> int:
        """How many bytes all of it takes that grows with what the caller sent."""
        told, wished = self.delegation, self.choice
        sets = (wished.exclude, wished.include, wished.history, self.permissions or ())
        texts = (told.task, told.reason, told.evidence.read_as or "", *chain.from_iterable(sets))
        return sum(map(sys.getsizeof, (*sets, *texts)))

    @property
    def names(self) -> set[str]:
        """The agents that the delegation names anywhere."""
        evidence = self.delegation.evidence
        candidates = (*self.delegation.top3, *self.delegation.ranking)
        listed = (*evidence.ranking, *evidence.named, *evidence.mentions)
        alone = filter(None, [evidence.without_quoted])
        return {candidate.name for candidate in candidates} | {*listed, *alone}


class Reviews:
    """Remember delegations in memory, so that feedback joins to them; each caller sees its own."""

    def __init__(self) -> None:
        self.forgotten = 0  # that waited for a person
        self._lock = Lock()
        self._given: dict[str, Given] = {}
        self._of: dict[str, OrderedDict[str, None]] = {}  # ids of each caller, the oldest first
        self._sizes: Counter[str] = Counter()  # bytes of each caller
        self._open: OrderedDict[str, None] = OrderedDict()  # ids that wait for a person

    def remember(
        self,
        caller: Caller,
        permissions: frozenset[str] | None,
        choice: Choice,
        delegation: Delegation,
    ) -> str:
        """Keep a delegation; return the id of the request."""
        request_id = uuid4().hex
        given = Given(request_id, caller.name, permissions, choice, delegation)
        with self._lock:
            self._given[request_id] = given
            self._of.setdefault(caller.name, OrderedDict())[request_id] = None
            self._sizes[caller.name] += given.size
            if delegation.decision == "review":
                self._open[request_id] = None
            while len(self._given) > REMEMBERED or self._sizes.total() > _BYTES:
                self._forget()
        return request_id

    def _forget(self) -> None:
        """Forget the oldest of the caller who takes the most room."""
        most = max(self._sizes, key=lambda name: self._sizes[name])
        oldest, _ = self._of[most].popitem(last=False)
        self._sizes[most] -= self._given.pop(oldest).size
        if not self._of[most]:
            del self._of[most], self._sizes[most]
        if oldest in self._open:
            del self._open[oldest]
            self.forgotten += 1
            if self.forgotten == 1:
                _log.warning("a task that waited for review was forgotten: too many wait")

    def find(self, caller: Caller, request_id: str) -> Given | None:
        """Return the caller's own delegation with this id, None where there is none."""
        with self._lock:
            given = self._given.get(request_id)
        return given if given is not None and given.caller == caller.name else None

    def renew(self, given: Given, delegation: Delegation) -> Given:
        """Put another delegation of the same task in the place of one; return what is known now."""
        renewed = replace(given, delegation=delegation)
        with self._lock:
            known = self._given.get(given.request_id)
            if known is not None:
                self._given[given.request_id] = renewed
                self._sizes[given.caller] += renewed.size - known.size
        return renewed

    def settle(self, request_id: str) -> None:
        """Take a delegation out of the queue: somebody said who was right."""
        with self._lock:
            self._open.pop(request_id, None)

    def waiting(self, caller: Caller) -> list[Given]:
        """Return the caller's delegations that wait longest for a person, the oldest first."""
        with self._lock:
            waiting = [self._given[request_id] for request_id in self._open]
        return [given for given in waiting if given.caller == caller.name][:_SHOWN]

    def __len__(self) -> int:
        """Return how many wait, of all callers."""
        return len(self._open)
