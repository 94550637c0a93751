"""The LM stage: how the LM is asked, what its answers count for, and when it is asked.

Fitted on validation requests, those out of scope among them. Nothing that was fitted for
retrieval alone is used again where the LM was asked: weight, confidence, P(some agent fits) and
both thresholds are those of its answers.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dspy
import numpy as np

from optimize.calibration import signals_scope
from optimize.data import Dataset, Request
from optimize.evaluation import Outcome, delegate_all
from optimize.lm_stage.budget import FEWEST_COMPARED, plan_calls
from optimize.lm_stage.confidence import fit_confidence_with_lm
from optimize.lm_stage.config import LMStageConfig
from optimize.lm_stage.gate import choose_gate
from optimize.lm_stage.promise import CalibrationWithLM, Served, calibrate_with_lm
from optimize.lm_stage.rewrite import rewrite_prompt
from optimize.lm_stage.scope import fit_scope_with_lm
from optimize.lm_stage.variants import (
    OPTIMIZED,
    Choice,
    Variant,
    ask,
    ask_variants,
    choose_variant,
    flip_rate,
    named,
    summary_of,
)
from optimize.lm_stage.weight import closest_order, cross_validated_gains, fit_weight, gain_curve
from optimize.prompts import PromptCandidate
from task_delegator.delegator import Delegator

_log = logging.getLogger(__name__)

_RECALL = 0.98  # of the LM's shortlist on validation
_SHORTEST, _USUAL = 5, 12  # agents on it
_ERRORS = 2.0  # standard errors that a gain must exceed
# What a program has without an LM's answers.
_WITHOUT_LM = {
    "lm.weight": 0.0,
    "lm.gate": None,
    "lm.orders": 1,
    "lm.second_order_margin": None,
    "lm.prior": 0.0,
    "lm.repeats": 1,
}


@dataclass(frozen=True, slots=True)
class LMStageResult:
    """What the LM stage found.

    Attributes:
        calls: LM calls spent.
        asked, asked_out_of_scope: validation requests that the LM was asked about.
        gains: per way of asking, what the LM adds to the log-likelihood of the right agent:
            mean and standard error over the compared requests, cross-validated.
        tokens: per way of asking, LM tokens per request.
        chosen: the way of asking; None where the LM is not asked.
        gain: of the chosen way over all requests that were asked.
        flip_rate: share of the picks that change when the shortlist is reversed.
        demos: demos in the prompt in the end.
        ran: the optimizer that was run, None where none was.
        optimizer: what rewrote the prompt, None where its work is not in the program.
        weight: of the LM in the pool; 0 where it does not help.
        gate: certainty below which it is asked; None never.
        recall: of its shortlist on validation.
        oos_auroc: of P(some agent fits) on validation with the LM, cross-validated; None without
            requests out of scope.
    """

    calls: int
    asked: int
    asked_out_of_scope: int = 0
    gains: dict[str, tuple[float, float]] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    chosen: str | None = None
    gain: tuple[float, float] | None = None
    flip_rate: float | None = None
    demos: int = 0
    ran: str | None = None
    optimizer: str | None = None
    weight: float = 0.0
    gate: float | None = None
    recall: float | None = None
    oos_auroc: float | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "LMStageResult":
        """Return a result from its plain JSON values."""
        gains = {name: (gain[0], gain[1]) for name, gain in values["gains"].items()}
        gain = None if values["gain"] is None else tuple(values["gain"])
        return cls(**{**values, "gains": gains, "gain": gain})


@dataclass(frozen=True, slots=True)
class LMStage:
    """What a program has to take over.

    Attributes:
        result: what was found.
        select: the prompt.
        knobs: by dotted name.
        calibration: confidences with the LM, from which thresholds for another precision are
            chosen; None where it is not asked.
    """

    result: LMStageResult
    select: dspy.Predict
    knobs: dict[str, Any]
    calibration: CalibrationWithLM | None = None

    def apply(self, program: Delegator) -> None:
        """Set a program's prompt and knobs."""
        program.classify.select = self.select
        program.knobs.set(self.knobs)


@dataclass(frozen=True, slots=True)
class _Known:
    """Validation requests and what retrieval alone decides about them, the least certain first."""

    inside: Sequence[Outcome]
    outside: Sequence[Outcome]

    def least_certain(self) -> list[Outcome]:
        """Return all of them, in scope and out of scope, the least certain first."""
        every = [*self.inside, *self.outside]
        return sorted(every, key=_certainty)


def fit_lm_stage(
    program: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    config: LMStageConfig,
    tell: Callable[[Sequence[PromptCandidate]], None] | None = None,
) -> LMStage:
    """Choose how the LM is asked, fit what its answers count for, and set the gate.

    Where its answers do not raise the likelihood of the right agent by more than two standard
    errors, weight and gate stay closed: a program does not get worse by having an LM. The
    program itself is not changed.

    Args:
        tell: is given the prompts that the optimizer tried, as soon as it is done.

    Raises:
        InputError: the calls are too few for the optimizer, or to measure what it made.
        LMError: the LM cannot be reached.
    """
    train = dataset.splits["train"]
    plan = plan_calls(config.optimizer, config.max_lm_calls, len(train), config.cards)
    program = program.deepcopy()
    known, shortlist = _look_up(program, dataset, config.most_shown)
    program.knobs.set(_WITHOUT_LM | shortlist.knobs | {"lm.card": config.cards[0]})
    compared = [o.request for o in known.least_certain() if o.request.acceptable][: plan.compared]
    if len(compared) < FEWEST_COMPARED:
        _log.warning(
            "the LM is not asked: %d validation requests, %d are needed to measure an LM",
            len(compared), FEWEST_COMPARED,
        )  # fmt: skip
        return LMStage(LMStageResult(0, len(compared)), program.classify.select, _WITHOUT_LM)
    rewritten = rewrite_prompt(program, train, lm, config, plan.optimizer)
    if tell is not None:
        tell(rewritten.candidates)
    variants = ask_variants(program, compared, lm, rewritten.select, config.cards)
    choice = choose_variant(variants, config.seed)
    variant = variants[choice.name]
    answers, further = _ask_further(program, known, lm, variant, plan.fitted)
    found = _fitted(program, answers, variant, known, config)
    measured = {id(o): o for one in variants.values() for o in one.outcomes}.values()
    result = replace(
        _result(answers, found, choice, config.optimizer if rewritten.ran else None),
        calls=rewritten.calls + further + sum(o.delegation.usage.lm_calls for o in measured),
        flip_rate=flip_rate(variants[named(config.cards[0])].outcomes),
        demos=len(variant.select.demos) if found.weight else 0,
        recall=shortlist.recall,
    )
    select = variant.select if found.weight else program.classify.select
    return LMStage(result, select, _WITHOUT_LM | shortlist.knobs | found.knobs, found.calibration)


def _result(
    answers: Sequence[Outcome], found: "_Fitted", choice: Choice, ran: str | None
) -> LMStageResult:
    """Return what was found, but for what the stage as a whole spent."""
    used = bool(found.weight)
    return LMStageResult(
        calls=0,
        asked=sum(bool(o.request.acceptable) for o in answers),
        asked_out_of_scope=sum(not o.request.acceptable for o in answers),
        gains=choice.gains,
        tokens=choice.tokens,
        chosen=choice.name if used else None,
        gain=found.gain,
        ran=ran,
        optimizer=ran if used and choice.name == OPTIMIZED else None,
        weight=found.weight,
        gate=found.knobs.get("lm.gate"),
        oos_auroc=found.oos_auroc,
    )


@dataclass(frozen=True, slots=True)
class _Length:
    """The LM's shortlist: its knobs, and its recall on validation."""

    knobs: dict[str, Any]
    recall: float


def _look_up(program: Delegator, dataset: Dataset, most: int) -> tuple[_Known, _Length]:
    """Return what retrieval alone says of the validation requests, and the LM's shortlist."""
    student = program.deepcopy()
    student.knobs.set(_WITHOUT_LM | {"lm.ask_settled": True, "lm.shortlist": most})
    outside = [Request(text, ()) for text in dataset.out_of_scope["validation"]]
    with dspy.context(lm=None):
        known = _Known(
            delegate_all(student, dataset.splits["validation"], "validation"),
            delegate_all(student, outside, "out of scope"),
        )
    ranks = [outcome.rank or np.inf for outcome in known.inside]

    def recall(places: int) -> float:
        return float(np.mean(np.array(ranks) <= places))

    lengths = range(_SHORTEST, most + 1)
    places = next((k for k in lengths if recall(k) >= _RECALL), min(_USUAL, most))
    return known, _Length({"lm.shortlist": places}, recall(places))


def _ask_further(
    program: Delegator, known: _Known, lm: dspy.BaseLM, variant: Variant, calls: int
) -> tuple[list[Outcome], int]:
    """Ask about further requests in the chosen way, the least certain first, within the calls.

    Returns:
        Every request with an answer, in scope and out of scope; the calls.
    """
    asked = {outcome.request.text for outcome in variant.outcomes}
    rest = [o.request for o in known.least_certain() if o.request.text not in asked]
    new = ask(program, rest[: calls // variant.orders], lm, variant.select, variant.knobs)
    spent = sum(outcome.delegation.usage.lm_calls for outcome in new)
    return [*variant.outcomes, *new], spent


# The LM's "none" decides whether an agent fits by a threshold of its own, not by the confidence.
_SCOPE_APART = dict.fromkeys(
    f"scope.{name}_with_lm" for name in ("share", "even_odds_floor", "assign_floor")
)


@dataclass(frozen=True, slots=True)
class _Fitted:
    weight: float
    gain: tuple[float, float]
    knobs: dict[str, Any]
    calibration: CalibrationWithLM | None = None
    oos_auroc: float | None = None


def _fitted(
    program: Delegator,
    answers: Sequence[Outcome],
    variant: Variant,
    known: _Known,
    config: LMStageConfig,
) -> _Fitted:
    """Fit the weight, and where it helps confidence, scope, thresholds and gate."""
    inside = [outcome for outcome in answers if outcome.request.acceptable]
    outside = [outcome for outcome in answers if not outcome.request.acceptable]
    curves = [gain_curve(outcome, variant.orders) for outcome in inside]
    gains = cross_validated_gains(curves, config.seed)
    gain = summary_of(gains)
    if gain[0] <= _ERRORS * gain[1]:
        return _Fitted(0.0, gain, {})
    weight = fit_weight(curves)
    confidence = fit_confidence_with_lm(
        program, inside, outside, weight, variant.orders, config.seed
    )
    alone = signals_scope(program, known.inside, known.outside)
    scope = fit_scope_with_lm(program, inside, outside, alone, weight, variant.orders, config.seed)
    # No further than answers reach: beyond them nothing was measured.
    reach = max(map(_certainty, answers))
    gate = min(choose_gate([_certainty(o) for o in known.inside], config.ask_share), reach)
    knobs = {
        **variant.knobs,
        "lm.weight": weight,
        "lm.gate": min(gate, 1.0),
        **confidence.knobs,
        **scope.knobs,
        **_SCOPE_APART,
    }
    served = Served(
        known.inside,
        known.outside,
        inside,
        outside,
        min(gate, 1.0),
        program.knobs.values.thresholds(),
    )
    calibration = calibrate_with_lm(served, confidence, scope, config.target)
    knobs["confidence.assign_threshold_with_lm"] = calibration.promise.threshold
    if variant.orders == 2:
        knobs["lm.second_order_margin"] = closest_order(inside, weight)
    return _Fitted(weight, gain, knobs, calibration, scope.auroc)


def _certainty(outcome: Outcome) -> float:
    """Return how certain retrieval alone was of its decision, whether the LM was asked or not."""
    return outcome.delegation.evidence.gate.certainty
