"""What a program carries in its state beside prompts: its numbers, and learned samples."""

from collections.abc import Mapping
from typing import Any

from dspy.predict.parameter import Parameter

from .values import KnobValues

_CONFIDENCE = ("retrieval", "confidence", "scope")  # groups that tell how sure a program is


class Knobs(Parameter):
    """Carry ``KnobValues`` as a DSPy parameter: in every state, out of ``named_predictors``.

    Attributes:
        values: the numbers.
        brought_along: whether a state that was loaded holds another confidence than the program
            had: whom that was calibrated for, a state does not say.
    """

    brought_along = False  # of programs that were pickled before there was such a thing

    def __init__(self, values: KnobValues | None = None) -> None:
        self.values = values or KnobValues()

    def set(self, changes: Mapping[str, Any]) -> None:
        """Replace some of the numbers, by dotted name, such as ``{"lm.gate": 0.5}``."""
        self.values = self.values.replaced(changes)

    def reset(self) -> None:
        """Keep the values: an optimizer's fresh copy retrieves like the original."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return the numbers as plain JSON, in groups."""
        return self.values.model_dump()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over saved numbers; every name must be known and none may be missing."""
        values = KnobValues.read(state)
        if any(getattr(values, part) != getattr(self.values, part) for part in _CONFIDENCE):
            self.brought_along = True
        self.values = values


class LearnedSamples(Parameter):
    """Carry labeled requests that serve as further samples of their agents.

    The demos of retrieval: ``compile --samples-from-train N`` fills it, agents that a
    registry does not have are ignored.
    """

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, ...]] = {}

    def reset(self) -> None:
        """Keep the samples: an optimizer's fresh copy retrieves like the original."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return the requests by agent name as plain JSON."""
        return {name: list(requests) for name, requests in self.values.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over saved requests."""
        self.values = {name: tuple(requests) for name, requests in state.items()}
