"""Tell whether a program's probabilities were calibrated for what a caller may use."""

from collections.abc import Collection, Sequence
from functools import partial

from ..decision import Coverage
from ..delegation import CalibratedBy, Candidate
from ..registry import Agent, Registry, permission_set
from ..system import Lock

# Of many agents; of fewer that are left, one is far ahead even where none fits.
ENOUGH_AGENTS = 10
_MAY_BE_MEANT = 0.02  # probability of an agent from which on a task may well be for it
_FEW = 0.1  # share of a caller's agents that may be others, and the scale still means the same
_CALLERS = 1024  # sets of permissions that are remembered


class CalibratedAgents:
    """The agents that a program was calibrated on.

    Args:
        digests: of these agents; None for any.
        by: what it was calibrated on.
        trusted: whether tasks are assigned to other agents too.
        transfer: whether they are where the confidence of other registries carries over.
    """

    def __init__(
        self,
        digests: frozenset[str] | None = None,
        by: CalibratedBy = "labels",
        trusted: bool = False,
        transfer: bool = False,
    ) -> None:
        self.digests, self.trusted, self.transfer = digests, trusted, transfer
        self.by: CalibratedBy = by
        self._turn = Lock()
        self._asked: Registry | None = None  # that was last asked about
        self._known: dict[object, frozenset[str] | None] = {}  # of it

    def for_nobody(self) -> "CalibratedAgents":
        """Return the same for no agents at all; these themselves where they are any, or none."""
        if not self.digests:
            return self
        return CalibratedAgents(frozenset(), self.by, self.trusted, self.transfer)

    def cover(self, registry: Registry, permissions: Collection[str] | None) -> bool:
        """Tell whether a caller's agents are among them, and enough to mean the same."""
        strangers = self.strangers(registry, permissions)
        return strangers is not None and not strangers

    def strangers(
        self, registry: Registry, permissions: Collection[str] | None
    ) -> frozenset[str] | None:
        """Return the names of a caller's agents that are new or changed.

        None where the confidence means nothing: where they are more than one in ten, or few
        agents are left of many. Of few, the first is far ahead of the second whatever the task is.
        """
        if self.digests is None:
            return frozenset()
        caller = permission_set(permissions)
        key = registry.version, caller
        with self._turn:
            if registry is not self._asked:
                self._asked, self._known = registry, {}
            if key not in self._known:
                if len(self._known) >= _CALLERS:
                    self._known.clear()
                found = [agent for agent in registry if agent.permits(caller)]
                self._known[key] = self._strangers_among(found, self.digests)
            return self._known[key]

    def _strangers_among(
        self, agents: Sequence[Agent], digests: frozenset[str]
    ) -> frozenset[str] | None:
        """Return ``strangers`` of the agents that a caller may use."""
        most = _FEW * len(agents)
        enough = len(agents) >= min(ENOUGH_AGENTS, len(digests)) or not agents
        # Of far more agents than are known, none need be looked at: digests of many take long.
        if not enough or len(agents) - len(digests) > most:
            return None
        others = frozenset(agent.name for agent in agents if not self._knows(agent))
        return others if len(others) <= most else None

    def few_strangers(self, registry: Registry) -> list[str]:
        """Return the names of agents that are new or changed, where these are less than half."""
        known, agents = self.digests, len(registry)
        if known is None or agents >= 2 * len(known):  # no agent need be looked at
            return []
        found = [agent.name for agent in registry if not self._knows(agent)]
        return found if 2 * len(found) < agents else []

    def _knows(self, agent: Agent) -> bool:
        """Tell whether an agent says what it said; older manifests hold digests of all fields."""
        known = self.digests or frozenset()
        return agent.reading_digest() in known or agent.digest() in known

    def coverage(
        self,
        registry: Registry,
        permissions: Collection[str] | None,
        first: Agent,
        candidates: Sequence[Candidate] = (),
    ) -> Coverage:
        """Return for whom of those that a task may be for the confidence was calibrated.

        Samples calibrate nothing of an agent that has none. Few agents that are new or changed
        take nothing from the confidence in others for tasks that are hardly for them.

        Args:
            registry, permissions: the agents, and the caller's permissions.
            first: the best agent.
            candidates: with their probabilities.
        """
        made = partial(Coverage, by=self.by, trusted=self.trusted, transfer=self.transfer)
        strangers = self.strangers(registry, permissions)
        if strangers is None:
            return made("registry")
        meant = {c.name for c in candidates if c.probability >= _MAY_BE_MEANT}
        if not strangers.isdisjoint({first.name, *meant}):
            return made("changed")
        bare = self.by == "samples" and not first.user_request_samples
        return made("first" if bare else None)
