"""DSPy's optimizers by name, over the one predictor that decides: a shortlist in, a slot out.

Each gets what it takes from one budget of LM calls, says before it starts how many it expects, and
is stopped at the limit. What an LM refuses stops the compilation: an optimizer that swallows
errors would call a broken answer a bad prompt.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import dspy
from dspy.teleprompt import (
    BootstrapFewShot,
    BootstrapFewShotWithOptuna,
    BootstrapFewShotWithRandomSearch,
    LabeledFewShot,
)
from dspy.utils.exceptions import AdapterParseError
from dspy.utils.exceptions import LMError as DspyLMError

from optimize.prompts.call_budget import BudgetExceededError, CallBudget, quiet, unreadable
from optimize.prompts.candidates import PromptCandidate, alone, detailed, in_percent, in_shares
from optimize.prompts.student import OptimizerInputs, SelectSlot
from task_delegator.errors import LMError
from task_delegator.lm import without_logprobs
from task_delegator.text import describe_error

_DEMOS = 2
_REFLECTED = 3  # train examples in a round of GEPA, before and after
_INDUCED = 4  # calls that rules may take: what DSPy cannot read it asks for in other formats
_BATCH, _VISITS = 8, 8  # train examples in a step of SIMBA, and calls about each
_MOST_TOGETHER = 2  # instructions that better-together tries on its train examples
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One row of the table.

    Attributes:
        share: of the LM calls of a compilation; the rest measures what its prompt is worth.
        least: LM calls of one whole round, at most, by the number of examples to train on and of
            those to compare on; with fewer it is stopped before it has found anything.
        expected: LM calls that it makes of its budget.
        compile: student and brief to the optimized student.
        tried: the optimized student to the prompts that were tried.
    """

    share: float
    least: Callable[[int, int], int]
    expected: Callable[[OptimizerInputs], int]
    compile: Callable[[SelectSlot, OptimizerInputs], SelectSlot]
    tried: Callable[[Any], list[PromptCandidate]]


@dataclass(frozen=True, slots=True)
class OptimizedPrompt:
    """What an optimizer made.

    Attributes:
        select: the predictor; None where the calls ran out before the optimizer was done.
        calls: LM calls that it took.
        candidates: prompts that it tried, as far as it is done.
    """

    select: dspy.Predict | None
    calls: int
    candidates: tuple[PromptCandidate, ...] = ()


def _labeled(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    return LabeledFewShot(k=_DEMOS).compile(student, trainset=list(brief.trainset))


def _bootstrap(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    optimizer = BootstrapFewShot(
        brief.metric, max_bootstrapped_demos=_DEMOS, max_labeled_demos=0, **brief.settings
    )
    return optimizer.compile(student, trainset=list(brief.trainset[: brief.calls]))


def _random_search(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    optimizer = BootstrapFewShotWithRandomSearch(
        brief.metric,
        max_bootstrapped_demos=_DEMOS,
        max_labeled_demos=_DEMOS,
        num_candidate_programs=_candidates(brief),
        num_threads=1,
        **brief.settings,
    )
    return optimizer.compile(
        student, trainset=list(brief.trainset[: _share(brief)]), valset=list(brief.valset)
    )


def _optuna(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    optimizer = BootstrapFewShotWithOptuna(
        brief.metric,
        max_labeled_demos=_DEMOS,
        num_candidate_programs=_programs(brief),
        num_threads=1,
        **brief.settings,
    )
    return optimizer.compile(
        student,
        max_demos=_DEMOS,
        trainset=list(brief.trainset[: _share(brief)]),
        valset=list(brief.valset),
    )


def _rules(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    optimizer = dspy.InferRules(
        metric=brief.metric,
        num_candidates=_programs(brief, written=_INDUCED),
        num_rules=5,
        num_threads=1,
        max_bootstrapped_demos=_DEMOS,
        max_labeled_demos=0,
        **brief.settings,
    )
    some = list(brief.trainset[: _share(brief)])
    return cast("SelectSlot", optimizer.compile(student, trainset=some, valset=list(brief.valset)))


def _together(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    """Chain demos and instructions; weights have a command of their own, ``finetune``."""
    demos = BootstrapFewShot(
        brief.metric, max_bootstrapped_demos=_DEMOS, max_labeled_demos=0, **brief.settings
    )
    wording = dspy.COPRO(brief.teacher, brief.metric, breadth=_MOST_TOGETHER, depth=1)
    silent = {"num_threads": 1, "display_progress": False, "display_table": 0}
    student.set_lm(dspy.settings.lm)
    done: Any = dspy.BetterTogether(brief.metric, demos=demos, wording=wording).compile(
        student,
        trainset=list(brief.trainset[: _share(brief)]),
        valset=list(brief.valset),
        num_threads=1,
        seed=brief.seed,
        strategy="demos -> wording",
        optimizer_compile_args={"wording": {"eval_kwargs": silent}},
    )
    if done.flag_compilation_error_occurred:
        raise LMError("--optimizer better-together: a step failed, see the log; nothing is kept")
    for made in (done, *(row["program"] for row in done.candidate_programs)):
        made.set_lm(None)  # it stays bound, key and all
    return done


def _copro(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    optimizer = dspy.COPRO(brief.teacher, brief.metric, breadth=_breadth(brief), depth=1)
    settings = {"num_threads": 1, "display_progress": False, "display_table": 0}
    return optimizer.compile(student, trainset=list(brief.valset), eval_kwargs=settings)


def _mipro(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    optimizer = dspy.MIPROv2(
        brief.metric,
        prompt_model=brief.teacher,
        auto=None,
        num_candidates=3,
        num_threads=1,
        max_bootstrapped_demos=_DEMOS,
        max_labeled_demos=0,
        seed=brief.seed + 1,  # it takes 0 for unset
        **brief.settings,
    )
    return optimizer.compile(
        student,
        trainset=list(brief.trainset[: _share(brief)]),
        valset=list(brief.valset),
        num_trials=_trials(brief),
        minibatch=False,
        program_aware_proposer=False,
    )


def _simba(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    size = min(len(brief.trainset), _BATCH)
    optimizer = dspy.SIMBA(
        metric=brief.metric,
        bsize=size,
        num_candidates=2,
        max_steps=max(1, brief.calls // (size * _VISITS)),
        max_demos=_DEMOS,
        prompt_model=brief.teacher,
        num_threads=1,
    )
    some = list(brief.trainset[: 2 * size])
    return cast("SelectSlot", optimizer.compile(student, trainset=some, seed=brief.seed))


def _gepa(student: SelectSlot, brief: OptimizerInputs) -> SelectSlot:
    optimizer = dspy.GEPA(
        brief.feedback,
        max_metric_calls=_measured(brief),
        reflection_minibatch_size=_REFLECTED,
        reflection_lm=brief.teacher,
        num_threads=1,
        seed=brief.seed,
        track_stats=True,
    )
    train, validation = list(brief.trainset), list(brief.valset)
    return cast("SelectSlot", optimizer.compile(student, trainset=train, valset=validation))


def _share(brief: OptimizerInputs) -> int:
    """Return how many train examples may be bootstrapped from: a fifth of the calls, and no more
    than a few per demo.
    """
    return min(max(brief.calls // 5, 1), _some(len(brief.trainset)))


def _some(train: int) -> int:
    return min(4 * _DEMOS, train)


def _programs(brief: OptimizerInputs, written: int = 1) -> int:
    """Return how many programs the rest of the calls evaluates, so many calls each to write it."""
    return max(1, (brief.calls - _share(brief)) // (len(brief.valset) + written))


def _candidates(brief: OptimizerInputs) -> int:
    """Return how many candidates are drawn beside three fixed ones, bootstraps at their worst."""
    return max(1, brief.calls // (len(brief.valset) + _share(brief)) - 3)


def _measured(brief: OptimizerInputs) -> int:
    """Return how many answers GEPA may measure: where no reflection can be read it asks twice after
    every three, and it looks at its limit only between rounds.
    """
    validation = len(brief.valset)
    return max((brief.calls - _round(validation)) * 3 // 5, validation)


def _round(validation: int) -> int:
    return validation + 2 * _REFLECTED


def _least_of_gepa(train: int, validation: int) -> int:
    """Return the calls with which GEPA measures its first prompt and one more answer."""
    return _round(validation) + -(-5 * (validation + 1) // 3)


def _breadth(brief: OptimizerInputs) -> int:
    return max(2, min(6, brief.calls // max(len(brief.valset), 1) - 1))


def _trials(brief: OptimizerInputs) -> int:
    return max(1, (brief.calls - 3 * _share(brief)) // max(len(brief.valset), 1) - 1)


OPTIMIZERS = {
    "labeled-few-shot": Optimizer(0.0, lambda t, v: 0, lambda b: 0, _labeled, alone),
    "bootstrap": Optimizer(
        0.2,
        lambda t, v: min(t, _DEMOS),
        lambda b: min(b.calls, len(b.trainset)),
        _bootstrap,
        alone,
    ),
    "bootstrap-random-search": Optimizer(
        0.5,
        lambda t, v: 4 * (v + _some(t)),
        lambda b: (3 + _candidates(b)) * (len(b.valset) + _share(b)),
        _random_search,
        in_percent,
    ),
    "bootstrap-optuna": Optimizer(
        0.5,
        lambda t, v: _some(t) + v + 1,
        lambda b: _share(b) + _programs(b) * len(b.valset),
        _optuna,
        alone,
    ),
    "infer-rules": Optimizer(
        0.5,
        lambda t, v: _some(t) + v + _INDUCED,
        lambda b: _share(b) + _programs(b, _INDUCED) * (len(b.valset) + _INDUCED),
        _rules,
        alone,
    ),
    "better-together": Optimizer(
        0.5,
        lambda t, v: (_MOST_TOGETHER + 2) * _some(t) + 3 * v,
        lambda b: (_MOST_TOGETHER + 2) * _share(b) + 3 * len(b.valset),
        _together,
        in_percent,
    ),
    "copro": Optimizer(
        0.5, lambda t, v: 3 * v, lambda b: (_breadth(b) + 1) * len(b.valset), _copro, in_percent
    ),
    "mipro": Optimizer(
        0.5,
        lambda t, v: 2 * v + 3 * _some(t),
        lambda b: (_trials(b) + 1) * len(b.valset) + 3 * _share(b),
        _mipro,
        in_percent,
    ),
    "simba": Optimizer(
        0.5, lambda t, v: _VISITS * min(t, _BATCH), lambda b: b.calls, _simba, in_shares
    ),
    "gepa": Optimizer(0.5, _least_of_gepa, lambda b: b.calls, _gepa, detailed),
}


def optimize(
    name: str, select: dspy.Predict, lm: dspy.BaseLM, brief: OptimizerInputs
) -> OptimizedPrompt:
    """Return what an optimizer makes of a predictor.

    The LM and the teacher are asked for words alone: hundreds of log-probabilities a token would
    go into the demos, and into the prompts of those optimizers that read answers.

    Raises:
        LMError: the LM or the teacher did not answer.
    """
    optimizer = OPTIMIZERS[name]
    expected = optimizer.expected(brief)
    _log.warning("%s: some %d LM calls expected, %d at most", name, expected, brief.calls)
    meter = CallBudget(brief.calls)
    callbacks = [*dspy.settings.get("callbacks", []), meter]
    student = SelectSlot(select.deepcopy())
    # Copies share their signature, a class, and InferRules writes its rules into that.
    signature: Any = student.select.signature
    student.select.signature = signature.with_instructions(signature.instructions)
    brief = replace(brief, teacher=without_logprobs(brief.teacher))
    try:
        with (
            quiet(),
            dspy.context(lm=without_logprobs(lm), callbacks=callbacks, disable_history=True),
        ):
            done = optimizer.compile(student, brief)
    except BudgetExceededError:
        if meter.failure is not None:
            line = describe_error(meter.failure)
            raise LMError(f"--optimizer {name}: the LM did not answer: {line}") from meter.failure
        _log.warning("%s: stopped at the limit of %d LM calls, nothing kept", name, brief.calls)
        return OptimizedPrompt(None, meter.calls)
    except DspyLMError as error:
        raise LMError(f"--optimizer {name}: {describe_error(error)}") from error
    except (AdapterParseError, AssertionError, RuntimeError) as error:  # InferRules asserts
        if not unreadable(error):
            raise
        raise LMError(f"--optimizer {name}: the teacher's answers could not be read") from error
    return OptimizedPrompt(done.select, meter.calls, tuple(optimizer.tried(done)))
