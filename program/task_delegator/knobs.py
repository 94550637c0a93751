"""What search, calibration and training requests leave in a program, beside its prompts."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dspy.predict.parameter import Parameter


@dataclass(frozen=True, slots=True)
class KnobValues:
    """Every number of a compiled program; the defaults are the uncompiled program.

    Retrieval (found by ``optimize search``):
        k: agents on the shortlist, 2 to 19 (the LM's slots).
        bm25, chars, description, sample_best, sample_mean, head, late: channel weights.
        bm25_k1, bm25_b: BM25's saturation and length normalisation.
        head_c: inverse regularisation of the softmax regression.
        temperature: of the posterior over agents; smaller is surer.
    Confidence (found by ``optimize calibrate``), logistic models over the features
    of ``confidence.py``:
        sure_*: P(first place is right | some agent fits), retrieval alone.
        sure_lm_*: the same after the LM has been asked.
        fits_*: P(some agent fits).
    Decision:
        gate: the LM is asked where the retrieval's confidence is below this;
            0 never asks, above 1 always.
        lm: weight of the LM's log-probabilities beside retrieval's.
        orders: shortlist orders shown to the LM, 1 or 2 (reversed): two cancel the
            LM's preference for a place.
        assign: least confidence to assign; above 1 never assigns.
        fits: least P(some agent fits); below it the decision is ``none``.
    """

    k: int = 8
    bm25: float = 0.15
    chars: float = 0.45
    description: float = 0.1
    sample_best: float = 0.1
    sample_mean: float = 0.05
    head: float = 0.85
    late: float = 0.85
    bm25_k1: float = 1.5
    bm25_b: float = 0.75
    head_c: float = 10.0
    temperature: float = 1.0
    sure_bias: float = 0.0
    sure_logit: float = 1.0
    sure_margin: float = 0.0
    sure_lm_bias: float = 0.0
    sure_lm_logit: float = 1.0
    sure_lm_margin: float = 0.0
    fits_bias: float = 0.0
    fits_description: float = 0.0
    fits_sample: float = 0.0
    fits_head: float = 0.0
    gate: float = 0.0
    lm: float = 0.0
    orders: int = 2
    assign: float = 0.9
    fits: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that no search could have found."""
        for name, value in asdict(self).items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"knob {name}={value!r} is no finite number")
        if not 2 <= self.k <= 19:
            raise ValueError(f"knob k={self.k} is outside 2..19")
        if self.orders not in (1, 2):
            raise ValueError(f"knob orders={self.orders} is neither 1 nor 2")
        if min(self.temperature, self.head_c, self.bm25_k1) <= 0:
            raise ValueError("knobs temperature, head_c and bm25_k1 must be positive")


class Knobs(Parameter):
    """Carry ``KnobValues`` as a DSPy parameter: in every state, out of ``named_predictors``."""

    def __init__(self, **values: float) -> None:
        self.values = KnobValues(**values)  # type: ignore[arg-type]

    def set(self, **values: float) -> None:
        """Replace some of the numbers."""
        self.values = replace(self.values, **values)  # type: ignore[arg-type]

    def reset(self) -> None:
        """Keep the values: an optimiser's fresh copy retrieves like the original."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return the numbers as plain JSON."""
        return asdict(self.values)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over saved numbers; every name must be known and none may be missing."""
        known = {field.name for field in fields(KnobValues)}
        if set(state) != known:
            odd = ", ".join(sorted(set(state) ^ known))
            raise ValueError(f"these knobs are unknown or missing: {odd}")
        self.values = KnobValues(**state)


class LearnedSamples(Parameter):
    """Carry labelled requests that serve as further samples of their agents.

    The demos of retrieval: ``compile --samples-from-train N`` fills it, agents that a
    registry does not have are ignored.
    """

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, ...]] = {}

    def reset(self) -> None:
        """Keep the samples: an optimiser's fresh copy retrieves like the original."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return the requests by agent name as plain JSON."""
        return {name: list(requests) for name, requests in self.values.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over saved requests."""
        self.values = {name: tuple(requests) for name, requests in state.items()}
