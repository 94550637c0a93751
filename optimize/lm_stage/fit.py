"""The LM stage: optimize the prompt, fit the weight of the LM, set when it is asked.

Everything is measured on requests with a low retrieval confidence, since the LM is asked about
no others.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy
import numpy as np

from optimize.data import Dataset, Request
from optimize.evaluation import Outcome, delegate_all
from optimize.lm_stage.budget import FEWEST_ASKED, held_out_count, plan_calls
from optimize.lm_stage.confidence import fit_confidence_with_lm, rubric_gain
from optimize.lm_stage.weight import (
    closest_order,
    cross_validated_gain,
    fit_weight,
    gain_curve,
    said_by_lm,
)
from optimize.prompts import (
    OptimizerInputs,
    PromptCandidate,
    examples,
    optimize,
    right_slot,
    slot_feedback,
)
from task_delegator.delegator import Delegator
from task_delegator.lm import writes

_RUBRIC_BAND = (0.3, 0.8)  # confidences between which a second look may change the decision
# What a program has without an LM's answers.
_WITHOUT_LM = {
    "lm.weight": 0.0,
    "lm.gate": None,
    "lm.orders": 2,
    "lm.second_order_margin": None,
    "lm.prior": 0.0,
    "lm.repeats": 1,
}
_ERRORS = 2.0  # standard errors that a gain must exceed: the best of three is looked at


@dataclass(frozen=True, slots=True)
class LMStageResult:
    """What the LM stage found.

    Attributes:
        calls: LM calls spent.
        asked: unsure validation requests that the LM was asked about.
        gains: per variant of asking, what the LM's word adds to the log-likelihood of
            the right agent, mean and standard error over the asked requests,
            cross-validated. ``plain``; ``prior``: the content-free prior divided out;
            ``one order``; ``optimized``: with what the optimizer made of the prompt.
        flips: share of the plain picks that change when the shortlist is reversed.
        demos: demos in the prompt in the end.
        ran: the optimizer that was run, None where none was.
        optimizer: what rewrote the prompt, None where its work is not in the program.
        weight: of the LM's word in the end; 0 where it does not help.
        second_order_margin: second orders are asked below this distance of the two best; None
            always.
        rubric: AUROC of error with the rubric beside the confidence, without it, and
            the standard error of the difference; None where it was not asked.
    """

    calls: int
    asked: int
    gains: dict[str, tuple[float, float]]
    flips: float | None = None
    demos: int = 0
    ran: str | None = None
    optimizer: str | None = None
    weight: float = 0.0
    second_order_margin: float | None = None
    rubric: tuple[float, float, float] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "LMStageResult":
        """Return a result from its plain JSON values."""
        gains = {name: (gain[0], gain[1]) for name, gain in values["gains"].items()}
        rubric = None if values["rubric"] is None else tuple(values["rubric"])
        return cls(**{**values, "gains": gains, "rubric": rubric})


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """How the prompt is optimised: an optimizer's name, and the LM that teaches, or None."""

    optimizer: str = "bootstrap"
    teacher: dspy.BaseLM | None = None


_BOOTSTRAP = PromptConfig()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of asking the LM, with what came of it.

    Attributes:
        select: the prompt.
        knobs: of asking.
        outcomes: of the requests that were asked about, the LM's answers in their evidence.
    """

    select: dspy.Predict
    knobs: dict[str, float]
    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class Collected:
    """Answers of the LM, and what they took.

    Attributes:
        variants: by name: ``plain``, ``prior`` and, where an optimizer made one, ``optimized``.
        ran: whether the optimizer was run.
        calls: LM calls, the optimizer's included.
    """

    variants: dict[str, Variant]
    ran: bool
    calls: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The variant that adds most.

    Attributes:
        name: of the variant.
        weight: of the LM's log-probabilities; 0 where they do not help.
        gains: as in ``LMStageResult``.
    """

    name: str
    weight: float
    gains: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the LM stage is fitted to.

    Attributes:
        knobs: to set in the program.
        close: as in ``LMStageResult``.
        rubric: as in ``LMStageResult``.
        calls: LM calls for the rubric.
    """

    knobs: dict[str, Any]
    close: float | None = None
    rubric: tuple[float, float, float] | None = None
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Taught:
    """What a program has to take over of the LM stage.

    Attributes:
        result: what was found.
        select: the prompt.
        knobs: of the LM stage.
    """

    result: LMStageResult
    select: dspy.Predict
    knobs: dict[str, Any]

    def apply(self, program: Delegator) -> None:
        """Set a program's prompt and knobs."""
        program.classify.select = self.select
        program.knobs.set(self.knobs)


def teach(
    program: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    *,
    max_lm_calls: int,
    seed: int,
    way: PromptConfig = _BOOTSTRAP,
    tell: Callable[[Sequence[PromptCandidate]], None] | None = None,
) -> Taught:
    """Optimize the prompt, fit the LM's weight and set the gate, within ``max_lm_calls``.

    The gate opens where retrieval is not sure enough to assign. Where the LM's answers do not
    raise the likelihood of the right agent by more than two standard errors, its weight and the
    gate are 0: a program does not get worse by having an LM. The program itself is not changed.

    Args:
        tell: is given the prompts that the optimizer tried, as soon as it is done.

    Raises:
        InputError: the calls are too few for the optimizer, or to measure what it made.
        LMError: the LM cannot be reached.
    """
    train = dataset.splits["train"]
    plan = plan_calls(way.optimizer, max_lm_calls, len(train))
    program = program.deepcopy()
    program.knobs.set(_WITHOUT_LM)
    select = program.classify.select
    asked = _unsure(program, dataset.splits["validation"], seed)[: plan.requests]
    if len(asked) < FEWEST_ASKED:
        _log.warning(
            "the LM is not asked and --optimizer %s is not run: retrieval is unsure of %d "
            "validation requests, %d are needed to measure an LM",
            way.optimizer, len(asked), FEWEST_ASKED,
        )  # fmt: skip
        return Taught(LMStageResult(calls=0, asked=len(asked), gains={}), select, _WITHOUT_LM)

    rewritten = rewrite_prompt(program, train, lm, way, plan.optimizer, seed)
    if tell is not None:
        tell(rewritten.candidates)
    collected = collect_answers(program, asked, lm, rewritten)
    choice = choose_variant(collected.variants, seed)
    variant = collected.variants[choice.name]
    helps = choice.weight > 0
    fitted = Fitted({})
    if helps:
        fitted = fit_lm_stage(program, variant, lm, choice.weight, plan.rubric)
        select = variant.select
    result = LMStageResult(
        calls=collected.calls + fitted.calls,
        asked=len(asked),
        gains=choice.gains,
        flips=_flips(collected.variants["plain"].outcomes),
        demos=len(select.demos),
        ran=way.optimizer if collected.ran else None,
        optimizer=way.optimizer if helps and choice.name == "optimized" else None,
        weight=choice.weight,
        second_order_margin=fitted.close,
        rubric=fitted.rubric,
    )
    return Taught(result, select, _WITHOUT_LM | fitted.knobs)


def collect_answers(
    program: Delegator, requests: Sequence[Request], lm: dspy.BaseLM, rewritten: "Rewritten"
) -> Collected:
    """Ask the LM about the requests, in both orders, in every way that is compared."""
    plain = program.classify.select
    ways: dict[str, tuple[dspy.Predict, dict[str, Any]]] = {
        "plain": (plain, {}),
        "prior": (plain, {"lm.prior": 1.0}),
    }
    if rewritten.select is not None:
        ways["optimized"] = (rewritten.select, {})
    variants = {
        name: Variant(select, knobs, _ask(program, requests, lm, name, select, knobs))
        for name, (select, knobs) in ways.items()
    }
    asked = [outcome for variant in variants.values() for outcome in variant.outcomes]
    calls = rewritten.calls + sum(outcome.delegation.usage.lm_calls for outcome in asked)
    return Collected(variants, rewritten.ran, calls)


def choose_variant(variants: Mapping[str, Variant], seed: int) -> Choice:
    """Choose the variant that adds most, cross-validated, and fit the weight of the LM."""
    curves = {name: [gain_curve(o) for o in own.outcomes] for name, own in variants.items()}
    gains = {name: cross_validated_gain(own, seed) for name, own in curves.items()}
    best = max(gains, key=lambda name: gains[name][0])
    mean, error = gains[best]
    once = [gain_curve(outcome, 1) for outcome in variants["plain"].outcomes]
    gains["one order"] = cross_validated_gain(once, seed)
    weight = fit_weight(curves[best]) if mean > _ERRORS * error else 0.0
    return Choice(best, weight, gains)


def fit_lm_stage(
    program: Delegator, variant: Variant, lm: dspy.BaseLM, weight: float, rubric_calls: int
) -> Fitted:
    """Fit gate, second order, rubric and confidence to the answers of the chosen variant.

    Args:
        program: whose threshold to assign becomes the gate.
        weight: of the LM's log-probabilities, above 0.
        rubric_calls: how many answers the LM may rate.
    """
    close = closest_order(variant.outcomes, weight)
    rubric, ratings, calls = rubric_gain(program, variant.outcomes[:rubric_calls], lm, weight)
    knobs = {
        "lm.weight": weight,
        "lm.gate": _threshold(program),
        "lm.second_order_margin": close,
        **variant.knobs,
        **fit_confidence_with_lm(variant.outcomes, weight, ratings),
    }
    if ratings:
        knobs |= {"lm.rubric_low": _RUBRIC_BAND[0], "lm.rubric_high": _RUBRIC_BAND[1]}
    return Fitted(knobs, close, rubric, calls)


def opened(program: Delegator, knobs: Mapping[str, Any] | None = None) -> Delegator:
    """Return a copy with other knobs that asks the LM about every task."""
    copy = program.deepcopy()
    copy.knobs.set({"lm.ask_settled": True} | dict(knobs or {}))
    return copy


def _unsure(program: Delegator, requests: Sequence[Request], seed: int) -> list[Request]:
    with dspy.context(lm=None):
        outcomes = delegate_all(program, requests, "find unsure requests")
    threshold = _threshold(program)
    unsure = [o.request for o in outcomes if o.delegation.confidence < threshold]
    random.Random(seed).shuffle(unsure)
    return unsure


def _threshold(program: Delegator) -> float:
    """Return the confidence below which a task is not assigned."""
    threshold = program.knobs.values.confidence.assign_threshold
    return 1.0 if threshold is None else threshold


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What an optimizer made of the prompt.

    Attributes:
        ran: whether it was run.
        select: the prompt; None where there is no other than the plain one.
        calls: LM calls that it took.
        candidates: prompts that it tried.
    """

    ran: bool
    select: dspy.Predict | None = None
    calls: int = 0
    candidates: Sequence[PromptCandidate] = ()


def rewrite_prompt(
    program: Delegator,
    requests: Sequence[Request],
    lm: dspy.BaseLM,
    way: PromptConfig,
    calls: int,
    seed: int,
) -> Rewritten:
    """Run the optimizer on labelled requests, some of them held out to compare prompts on."""
    shown = examples(program, requests, seed)
    held_out = held_out_count(len(shown))
    if not writes(lm) or held_out == 0:
        reason = "three train requests are needed" if writes(lm) else f"{lm.model} only decides"
        _log.warning("--optimizer %s is not run: %s", way.optimizer, reason)
        return Rewritten(ran=False)
    brief = OptimizerInputs(
        calls=calls,
        trainset=shown[held_out:],
        valset=shown[:held_out],
        metric=right_slot,
        feedback=slot_feedback,
        teacher=way.teacher or lm,
        seed=seed,
    )
    plain = program.classify.select
    made = optimize(way.optimizer, plain, lm, brief)
    same = made.select is None or made.select.dump_state() == plain.dump_state()
    return Rewritten(True, None if same else made.select, made.calls, made.candidates)


def _ask(
    program: Delegator,
    requests: Sequence[Request],
    lm: dspy.BaseLM,
    what: str,
    select: dspy.Predict,
    knobs: Mapping[str, Any],
) -> list[Outcome]:
    student = opened(program, {"lm.orders": 2, "lm.weight": 0.0, **knobs})
    student.classify.select = select
    with dspy.context(lm=lm):
        return delegate_all(student, requests, f"ask the LM ({what})")


def _flips(outcomes: Sequence[Outcome]) -> float:
    answers = [said_by_lm(outcome).answers for outcome in outcomes]
    return float(np.mean([len({answer.picked for answer in given}) > 1 for given in answers]))
