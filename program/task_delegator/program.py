"""What functions over a program ask of it; ``Delegator`` is it."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol, Unpack

from .choice import Wishes
from .consultation import Consultation
from .decision import Coverage
from .delegation import Candidate, Delegation, LMFailure
from .errors import LMError
from .knobs import Knobs, KnobValues
from .registry import Agent
from .retrieval import Query, Retrieval, Retrieve
from .stages import DecomposeTask


class Program(Protocol):
    """Stages and numbers of a program; see ``Delegator`` for each."""

    knobs: Knobs
    retrieve: Retrieve
    decompose: DecomposeTask

    @property
    def max_lm_share(self) -> float | None:
        """Share of tasks that the LM is asked about at most."""
        ...

    def __call__(
        self,
        task: str,
        permissions: Collection[str] | None = None,
        found: Retrieval | None = None,
        **wishes: Unpack[Wishes],
    ) -> Delegation:
        """Delegate one task."""
        ...

    def knobs_for(self, permissions: Collection[str] | None = None) -> KnobValues:
        """Return the numbers for a caller's tasks."""
        ...

    def knobs_for_task(self, knobs: KnobValues, coverage: Coverage) -> KnobValues:
        """Return the numbers for one task."""
        ...

    def coverage(
        self,
        permissions: Collection[str] | None,
        first: Agent,
        candidates: Sequence[Candidate] = (),
    ) -> Coverage:
        """Return for whom the confidence was calibrated."""
        ...

    def judge(
        self, found: Retrieval, query: Query, knobs: KnobValues, coverage: Coverage
    ) -> Consultation:
        """Return what is believed without the LM."""
        ...

    def may_ask_lm(self, permissions: Collection[str] | None = None) -> bool:
        """Tell whether a task could need the LM."""
        ...

    def needs_lm(self, advice: Consultation, knobs: KnobValues) -> bool:
        """Tell whether the LM is to be asked about a task."""
        ...

    def resolve_lm(self) -> Any:
        """Return the LM that is asked, None where there is none."""
        ...

    def degrade(self, error: LMError) -> LMFailure:
        """Return how the LM failed, where that is to be lived with."""
        ...
