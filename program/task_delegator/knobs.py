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
        bm25, chars, description, sample_best, sample_mean, head, late, back: channel weights.
        bm25_k1, bm25_b: BM25's saturation and length normalisation.
        head_c: inverse regularisation of the softmax regression.
        temperature: of the posterior over agents; smaller is surer.
    Expansion (``expand.py``), for tasks that the gate lets through:
        phrasings: how many further phrasings the LM writes; 0 for none.
        ideal: 1 where the LM also describes the ideal agent, else 0.
        expansion: weight of the expansions beside the task, 0 to 1.
    Confidence (found by ``optimize calibrate``), weights of the features of ``confidence.py``:
        sure_*: P(first place is right | some agent fits), retrieval alone.
        sure_lm_*: the same after the LM has been asked.
        fits_*: P(some agent fits).
        sure_foreign: what a language that the embedder does not know takes from the log-odds.
    The LM's word (found by ``optimize compile``):
        gate: the LM is asked where the retrieval's confidence is below this and could
            change the decision; 0 never asks, above 1 always, whether it could or not.
        lm: weight of the LM's log-probabilities beside retrieval's.
        orders: shortlist orders shown to the LM at most, 1 or 2 (reversed): two cancel the
            LM's preference for a place.
        close: the second order is asked for where the logarithm of first over second place
            is below this after the first answer.
        prior: power of the LM's content-free slot prior that is divided out, 0 to 1.
        repeats: answers asked of an LM without log-probabilities; 0 has it write down a
            distribution instead.
        rubric_low, rubric_high: the rubric is asked for at confidences from low to below high.
    Decision:
        assign: least confidence to assign; above 1 never assigns.
        fits: least P(some agent fits); below it the decision is ``none``.
    Plans (``decompose.py``):
        split_*: weights of P(a task needs several agents), without an LM.
        split: least such probability to split a task; above 1 never splits.
        split_lm: 1 where the LM, if there is one, splits instead; else 0.
    """

    k: int = 8
    bm25: float = 0.25
    chars: float = 0.3
    description: float = 0.1
    sample_best: float = 0.1
    sample_mean: float = 0.0
    head: float = 0.75
    late: float = 0.75
    back: float = 0.5
    bm25_k1: float = 1.5
    bm25_b: float = 0.75
    head_c: float = 10.0
    temperature: float = 1.0
    phrasings: int = 0
    ideal: int = 0
    expansion: float = 0.3
    sure_bias: float = 0.0
    sure_logit: float = 1.0
    sure_margin: float = 0.0
    sure_agree: float = 0.0
    sure_near: float = 0.0
    sure_foreign: float = 0.0
    sure_lm_bias: float = 0.0
    sure_lm_logit: float = 1.0
    sure_lm_margin: float = 0.0
    sure_lm_agree: float = 0.0
    sure_lm_near: float = 0.0
    sure_lm_slot_margin: float = 0.0
    sure_lm_orders: float = 0.0
    sure_lm_rubric: float = 0.0
    fits_bias: float = 0.0
    fits_description: float = 0.0
    fits_sample: float = 0.0
    fits_head: float = 0.0
    fits_late: float = 0.0
    fits_logit: float = 0.0
    gate: float = 0.0
    lm: float = 0.0
    orders: int = 2
    close: float = 99.0
    prior: float = 0.0
    repeats: int = 3
    rubric_low: float = 0.0
    rubric_high: float = 0.0
    assign: float = 0.9
    fits: float = 0.0
    split_bias: float = 0.0
    split_least: float = 0.0
    split_late: float = 0.0
    split_cue: float = 0.0
    split_among: float = 0.0
    split: float = 1.01
    split_lm: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no search could have found."""
        for name, value in asdict(self).items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"knob {name}={value!r} is no finite number")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"knob {name}={getattr(self, name)} is outside {least}..{most}")
        if min(self.temperature, self.head_c, self.bm25_k1) <= 0:
            raise ValueError("knobs temperature, head_c and bm25_k1 must be positive")


_RANGES = {
    "k": (2, 19),
    "phrasings": (0, 5),
    "ideal": (0, 1),
    "expansion": (0, 1),
    "orders": (1, 2),
    "prior": (0, 1),
    "repeats": (0, 20),
    "split_lm": (0, 1),
}


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
