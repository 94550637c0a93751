"""Tell whether a program's probabilities were calibrated for what a caller may use."""

from collections.abc import Collection

from ..delegation import CalibratedBy
from ..registry import Registry, permission_set
from ..system import Lock

# Of many agents; of fewer that are left, one is far ahead even where none fits.
ENOUGH_AGENTS = 10
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
        self._known: dict[object, bool] = {}

    def cover(self, registry: Registry, permissions: Collection[str] | None) -> bool:
        """Tell whether a caller's agents are among them, and enough to mean the same.

        Of few agents that are left of many, the first is far ahead of the second whatever the
        task is: the scale was not fitted there.
        """
        if self.digests is None:
            return True
        caller = permission_set(permissions)
        key = registry.version, caller
        with self._turn:
            if key not in self._known:
                if len(self._known) >= _CALLERS:
                    self._known.clear()
                found = [agent.digest() for agent in registry if agent.permits(caller)]
                enough = len(found) >= min(ENOUGH_AGENTS, len(self.digests)) or not found
                self._known[key] = enough and self.digests.issuperset(found)
            return self._known[key]

    def few_strangers(self, registry: Registry) -> list[str]:
        """Return the names of agents that are new or changed, where these are less than half."""
        known, agents = self.digests, len(registry)
        if known is None or agents >= 2 * len(known):  # no agent need be looked at
            return []
        found = [agent.name for agent in registry if agent.digest() not in known]
        return found if 2 * len(found) < agents else []

    def believes(self, source: CalibratedBy | None) -> bool:
        """Tell whether a confidence is believed that was not calibrated for the caller's agents.

        Args:
            source: of it: other ``registries``, an ``lm``'s own word, or None for the program's
                own scale.
        """
        return self.trusted or source == "lm" or (self.transfer and source == "registries")
