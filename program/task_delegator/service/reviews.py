"""What was delegated lately: feedback joins to it, and reviewers see what waits for them.

In memory. What waited when a service ended waits again where it is restored from a log.

Where it is too much, the caller who takes the most room loses the oldest: no other does.
"""

import logging
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain, islice
from uuid import uuid4

from ..choice import Choice
from ..delegation import Candidate, Delegation, Evidence
from ..system import Lock
from ..tracing import Decided, Requested
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
        delegation: what was answered; of what a log tells, that alone.
        shown: what may be shown of it now; None where it has to be made again before.
    """

    request_id: str
    caller: str
    permissions: frozenset[str] | None
    choice: Choice
    delegation: Delegation
    shown: Delegation | None

    @property
    def size(self) -> int:
        """How many bytes all of it takes that grows with what the caller sent."""
        told, wished = self.shown or self.delegation, self.choice
        sets = (wished.exclude, wished.include, wished.history, self.permissions or ())
        texts = (told.task, told.reason, told.evidence.read_as or "", *chain.from_iterable(sets))
        return sum(map(sys.getsizeof, (*sets, *texts)))

    @property
    def names(self) -> set[str]:
        """The agents that what is shown names anywhere."""
        if self.shown is None:
            return set()
        evidence = self.shown.evidence
        candidates = (*self.shown.top3, *self.shown.ranking)
        listed = (*evidence.ranking, *evidence.named, *evidence.mentions)
        alone = filter(None, [evidence.without_quoted])
        return {candidate.name for candidate in candidates} | {*listed, *alone}


class Reviews:
    """Remember delegations in memory, so that feedback joins to them.

    Each caller sees its own; a reviewer those of all who have no permission beyond the reviewer's.
    """

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
        self._keep(Given(request_id, caller.name, permissions, choice, delegation, delegation))
        return request_id

    def restore(self, waiting: Iterable[tuple[Decided, Requested]]) -> None:
        """Let delegations of a log wait for a person again; of two with one id the first does."""
        for row, asked in waiting:
            if row.request_id in self._given:
                continue
            best = () if row.agent is None else (Candidate(row.agent, row.confidence),)
            known = Delegation(
                task=row.task,
                decision=row.decision,
                agent=row.agent,
                top3=best,
                confidence=row.confidence,
                reason="",
                evidence=Evidence(
                    correct_score=row.confidence,
                    in_scope_score=row.in_scope_score or 0.0,
                    calibrated=row.in_scope_score is not None,
                ),
            )
            choice = asked.choice
            self._keep(Given(row.request_id, asked.caller, asked.permissions, choice, known, None))

    def _keep(self, given: Given) -> None:
        with self._lock:
            self._given[given.request_id] = given
            self._of.setdefault(given.caller, OrderedDict())[given.request_id] = None
            self._sizes[given.caller] += given.size
            if given.delegation.decision == "review":
                self._open[given.request_id] = None
            while len(self._given) > REMEMBERED or self._sizes.total() > _BYTES:
                self._forget()

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
        """Return the delegation with this id that the caller sees, None where there is none."""
        with self._lock:
            given = self._given.get(request_id)
        return given if given and caller.sees(given.caller, given.permissions) else None

    def renew(self, given: Given, shown: Delegation) -> Given:
        """Show another delegation of the same task; return what is known now."""
        renewed = replace(given, shown=shown)
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
        """Return what the caller sees that waits longest for a person, the oldest first."""
        with self._lock:
            waiting = [self._given[request_id] for request_id in self._open]
        seen = (given for given in waiting if caller.sees(given.caller, given.permissions))
        return list(islice(seen, _SHOWN))

    def __len__(self) -> int:
        """Return how many wait, of all callers."""
        return len(self._open)
