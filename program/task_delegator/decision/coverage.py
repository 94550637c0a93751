"""What a program's calibration says of the agents that one task may be for."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..delegation import CalibratedBy

Gap: TypeAlias = Literal["first", "changed", "registry", "excluded"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """For whom the confidence in a task's best agents was calibrated, and what else may count.

    Attributes:
        gap: for whom it was not: the ``first`` agent, which lacks what the others were calibrated
            on; one that may be meant and has ``changed``, or is new; the ``registry``; or a
            registry whose confidence others would tell, had the caller not ``excluded`` agents.
            None where it was for all that matter.
        by: what the program was calibrated on.
        trusted: whether its own confidence is believed across a gap.
        transfer: whether the confidence of other registries is.
    """

    gap: Gap | None = None
    by: CalibratedBy = "labels"
    trusted: bool = False
    transfer: bool = False

    @property
    def complete(self) -> bool:
        """Whether there is no gap."""
        return self.gap is None

    @property
    def labeled(self) -> bool:
        """Whether labeled requests calibrated the confidence for these agents."""
        return self.complete and self.by == "labels"

    @property
    def own(self) -> bool:
        """Whether the program's own confidence counts."""
        return self.complete or self.trusted

    @property
    def borrowed(self) -> bool:
        """Whether the confidence of other registries, or an LM's own word, may stand in for it."""
        return (self.transfer or self._sampled) and not self.own

    @property
    def takes_lm_at_its_word(self) -> bool:
        """Whether nobody measured for these agents how right an LM is."""
        return self.borrowed or self._sampled

    @property
    def _sampled(self) -> bool:
        return self.by == "samples" and self.gap != "changed"

    def believes(self, source: CalibratedBy | None) -> bool:
        """Tell whether a confidence is believed across a gap.

        Args:
            source: of it: other ``registries``, an ``lm``'s own word, or None for the program.
        """
        return self.trusted or source == "lm" or (self.transfer and source == "registries")


COVERED = Coverage()
