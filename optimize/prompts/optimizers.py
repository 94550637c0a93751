"""Table of DSPy optimizers: name, share of the call budget, how each is run.

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

from optimize.prompts.call_budget import (
    BudgetExceededError,
    CallBudget,
    is_parse_error,
    silence_optimizers,
)
from optimize.prompts.candidates import (
    PromptCandidate,
    keep_fields,
    read_gepa_candidates,
    read_percent_scores,
    read_share_scores,
    read_single_prompt,
)
from optimize.prompts.student import OptimizerInputs, SelectSlot
from task_delegator.errors import LMError
from task_delegator.lm import without_logprobs
from task_delegator.text import describe_error

_MAX_DEMOS = 2
_REFLECTION_BATCH = 3  # train examples in a round of GEPA, before and after
_RULE_CALLS = 4  # calls that rules may take: what DSPy cannot read it asks for in other formats
_SIMBA_BATCH, _CALLS_PER_EXAMPLE = 8, 8  # train examples in a step of SIMBA, and calls about each
_TOGETHER_BREADTH = 2  # instructions that better-together tries on its train examples
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One row of the table.

    Attributes:
        share: of the LM calls of a compilation; the rest evaluates its prompt.
        least: LM calls of one whole round, at most, by the number of examples to train on and of
            those to compare on; with fewer it is stopped before it has found anything.
        expected: LM calls that it makes of its budget.
        compile: student and brief to the optimized student.
        read_candidates: the optimized student to the prompts that were tried.
    """

    share: float
    least: Callable[[int, int], int]
    expected: Callable[[OptimizerInputs], int]
    compile: Callable[[SelectSlot, OptimizerInputs], SelectSlot]
    read_candidates: Callable[[Any], list[PromptCandidate]]


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


def _labeled(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    return LabeledFewShot(k=_MAX_DEMOS).compile(student, trainset=list(inputs.trainset))


def _bootstrap(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    optimizer = BootstrapFewShot(
        inputs.metric, max_bootstrapped_demos=_MAX_DEMOS, max_labeled_demos=0, **inputs.settings
    )
    return optimizer.compile(student, trainset=list(inputs.trainset[: inputs.calls]))


def _random_search(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    optimizer = BootstrapFewShotWithRandomSearch(
        inputs.metric,
        max_bootstrapped_demos=_MAX_DEMOS,
        max_labeled_demos=_MAX_DEMOS,
        num_candidate_programs=_count_candidates(inputs),
        num_threads=1,
        **inputs.settings,
    )
    return optimizer.compile(
        student,
        trainset=list(inputs.trainset[: _bootstrap_size(inputs)]),
        valset=list(inputs.valset),
    )


def _bootstrap_optuna(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    optimizer = BootstrapFewShotWithOptuna(
        inputs.metric,
        max_labeled_demos=_MAX_DEMOS,
        num_candidate_programs=_count_programs(inputs),
        num_threads=1,
        **inputs.settings,
    )
    return optimizer.compile(
        student,
        max_demos=_MAX_DEMOS,
        trainset=list(inputs.trainset[: _bootstrap_size(inputs)]),
        valset=list(inputs.valset),
    )


def _infer_rules(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    optimizer = dspy.InferRules(
        metric=inputs.metric,
        num_candidates=_count_programs(inputs, written=_RULE_CALLS),
        num_rules=5,
        num_threads=1,
        max_bootstrapped_demos=_MAX_DEMOS,
        max_labeled_demos=0,
        **inputs.settings,
    )
    trainset = list(inputs.trainset[: _bootstrap_size(inputs)])
    return cast(
        "SelectSlot", optimizer.compile(student, trainset=trainset, valset=list(inputs.valset))
    )


def _better_together(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    """Chain demos and instructions; ``finetune`` trains weights."""
    demos = BootstrapFewShot(
        inputs.metric, max_bootstrapped_demos=_MAX_DEMOS, max_labeled_demos=0, **inputs.settings
    )
    wording = dspy.COPRO(inputs.teacher, inputs.metric, breadth=_TOGETHER_BREADTH, depth=1)
    silent = {"num_threads": 1, "display_progress": False, "display_table": 0}
    student.set_lm(dspy.settings.lm)
    done: Any = dspy.BetterTogether(inputs.metric, demos=demos, wording=wording).compile(
        student,
        trainset=list(inputs.trainset[: _bootstrap_size(inputs)]),
        valset=list(inputs.valset),
        num_threads=1,
        seed=inputs.seed,
        strategy="demos -> wording",
        optimizer_compile_args={"wording": {"eval_kwargs": silent}},
    )
    if done.flag_compilation_error_occurred:
        raise LMError("--optimizer better-together: a step failed, see the log; nothing is kept")
    for made in (done, *(row["program"] for row in done.candidate_programs)):
        made.set_lm(None)  # it stays bound, key and all
    return done


def _copro(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    optimizer = dspy.COPRO(inputs.teacher, inputs.metric, breadth=_copro_breadth(inputs), depth=1)
    settings = {"num_threads": 1, "display_progress": False, "display_table": 0}
    return optimizer.compile(student, trainset=list(inputs.valset), eval_kwargs=settings)


def _mipro(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    optimizer = dspy.MIPROv2(
        inputs.metric,
        prompt_model=inputs.teacher,
        auto=None,
        num_candidates=3,
        num_threads=1,
        max_bootstrapped_demos=_MAX_DEMOS,
        max_labeled_demos=0,
        seed=inputs.seed + 1,  # it takes 0 for unset
        **inputs.settings,
    )
    return optimizer.compile(
        student,
        trainset=list(inputs.trainset[: _bootstrap_size(inputs)]),
        valset=list(inputs.valset),
        num_trials=_mipro_trials(inputs),
        minibatch=False,
        program_aware_proposer=False,
    )


def _simba(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    size = min(len(inputs.trainset), _SIMBA_BATCH)
    optimizer = dspy.SIMBA(
        metric=inputs.metric,
        bsize=size,
        num_candidates=2,
        max_steps=max(1, inputs.calls // (size * _CALLS_PER_EXAMPLE)),
        max_demos=_MAX_DEMOS,
        prompt_model=inputs.teacher,
        num_threads=1,
    )
    trainset = list(inputs.trainset[: 2 * size])
    return cast("SelectSlot", optimizer.compile(student, trainset=trainset, seed=inputs.seed))


def _gepa(student: SelectSlot, inputs: OptimizerInputs) -> SelectSlot:
    optimizer = dspy.GEPA(
        inputs.feedback,
        max_metric_calls=_count_metric_calls(inputs),
        reflection_minibatch_size=_REFLECTION_BATCH,
        reflection_lm=inputs.teacher,
        num_threads=1,
        seed=inputs.seed,
        track_stats=True,
    )
    train, validation = list(inputs.trainset), list(inputs.valset)
    return cast("SelectSlot", optimizer.compile(student, trainset=train, valset=validation))


def _bootstrap_size(inputs: OptimizerInputs) -> int:
    """Return how many train examples may be bootstrapped from: a fifth of the calls, and no more
    than a few per demo.
    """
    return min(max(inputs.calls // 5, 1), _max_bootstrap_size(len(inputs.trainset)))


def _max_bootstrap_size(train: int) -> int:
    return min(4 * _MAX_DEMOS, train)


def _count_programs(inputs: OptimizerInputs, written: int = 1) -> int:
    """Return how many programs the rest of the calls evaluates, so many calls each to write it."""
    return max(1, (inputs.calls - _bootstrap_size(inputs)) // (len(inputs.valset) + written))


def _count_candidates(inputs: OptimizerInputs) -> int:
    """Return how many candidates are drawn beside three fixed ones, bootstraps at their worst."""
    return max(1, inputs.calls // (len(inputs.valset) + _bootstrap_size(inputs)) - 3)


def _count_metric_calls(inputs: OptimizerInputs) -> int:
    """Return how many answers GEPA may measure: where no reflection can be read it asks twice after
    every three, and it looks at its limit only between rounds.
    """
    validation = len(inputs.valset)
    return max((inputs.calls - _calls_per_round(validation)) * 3 // 5, validation)


def _calls_per_round(validation: int) -> int:
    return validation + 2 * _REFLECTION_BATCH


def _least_of_gepa(train: int, validation: int) -> int:
    """Return the calls with which GEPA measures its first prompt and one more answer."""
    return _calls_per_round(validation) + -(-5 * (validation + 1) // 3)


def _copro_breadth(inputs: OptimizerInputs) -> int:
    return max(2, min(6, inputs.calls // max(len(inputs.valset), 1) - 1))


def _mipro_trials(inputs: OptimizerInputs) -> int:
    return max(1, (inputs.calls - 3 * _bootstrap_size(inputs)) // max(len(inputs.valset), 1) - 1)


OPTIMIZERS = {
    "labeled-few-shot": Optimizer(0.0, lambda t, v: 0, lambda b: 0, _labeled, read_single_prompt),
    "bootstrap": Optimizer(
        0.2,
        lambda t, v: min(t, _MAX_DEMOS),
        lambda b: min(b.calls, len(b.trainset)),
        _bootstrap,
        read_single_prompt,
    ),
    "bootstrap-random-search": Optimizer(
        0.5,
        lambda t, v: 4 * (v + _max_bootstrap_size(t)),
        lambda b: (3 + _count_candidates(b)) * (len(b.valset) + _bootstrap_size(b)),
        _random_search,
        read_percent_scores,
    ),
    "bootstrap-optuna": Optimizer(
        0.5,
        lambda t, v: _max_bootstrap_size(t) + v + 1,
        lambda b: _bootstrap_size(b) + _count_programs(b) * len(b.valset),
        _bootstrap_optuna,
        read_single_prompt,
    ),
    "infer-rules": Optimizer(
        0.5,
        lambda t, v: _max_bootstrap_size(t) + v + _RULE_CALLS,
        lambda b: (
            _bootstrap_size(b) + _count_programs(b, _RULE_CALLS) * (len(b.valset) + _RULE_CALLS)
        ),
        _infer_rules,
        read_single_prompt,
    ),
    "better-together": Optimizer(
        0.5,
        lambda t, v: (_TOGETHER_BREADTH + 2) * _max_bootstrap_size(t) + 3 * v,
        lambda b: (_TOGETHER_BREADTH + 2) * _bootstrap_size(b) + 3 * len(b.valset),
        _better_together,
        read_percent_scores,
    ),
    "copro": Optimizer(
        0.5,
        lambda t, v: 3 * v,
        lambda b: (_copro_breadth(b) + 1) * len(b.valset),
        _copro,
        read_percent_scores,
    ),
    "mipro": Optimizer(
        0.5,
        lambda t, v: 2 * v + 3 * _max_bootstrap_size(t),
        lambda b: (_mipro_trials(b) + 1) * len(b.valset) + 3 * _bootstrap_size(b),
        _mipro,
        read_percent_scores,
    ),
    "simba": Optimizer(
        0.5,
        lambda t, v: _CALLS_PER_EXAMPLE * min(t, _SIMBA_BATCH),
        lambda b: b.calls,
        _simba,
        read_share_scores,
    ),
    "gepa": Optimizer(0.5, _least_of_gepa, lambda b: b.calls, _gepa, read_gepa_candidates),
}


def optimize(
    name: str, select: dspy.Predict, lm: dspy.BaseLM, inputs: OptimizerInputs
) -> OptimizedPrompt:
    """Return what an optimizer makes of a predictor.

    Log-probabilities are switched off for the LM and the teacher: they would go into demos, and
    into the prompts of optimizers that read answers.

    Raises:
        LMError: the LM or the teacher did not answer.
    """
    optimizer = OPTIMIZERS[name]
    expected = optimizer.expected(inputs)
    _log.warning("%s: some %d LM calls expected, %d at most", name, expected, inputs.calls)
    budget = CallBudget(inputs.calls)
    callbacks = [*dspy.settings.get("callbacks", []), budget]
    student = SelectSlot(select.deepcopy())
    # Copies share their signature, a class, and InferRules writes its rules into that.
    signature: Any = student.select.signature
    student.select.signature = signature.with_instructions(signature.instructions)
    inputs = replace(inputs, teacher=without_logprobs(inputs.teacher))
    try:
        with (
            silence_optimizers(),
            dspy.context(lm=without_logprobs(lm), callbacks=callbacks, disable_history=True),
        ):
            done = optimizer.compile(student, inputs)
    except BudgetExceededError:
        if budget.failure is not None:
            line = describe_error(budget.failure)
            raise LMError(f"--optimizer {name}: the LM did not answer: {line}") from budget.failure
        _log.warning("%s: stopped at the limit of %d LM calls, nothing kept", name, inputs.calls)
        return OptimizedPrompt(None, budget.calls)
    except DspyLMError as error:
        raise LMError(f"--optimizer {name}: {describe_error(error)}") from error
    except (AdapterParseError, AssertionError, RuntimeError) as error:  # InferRules asserts
        if not is_parse_error(error):
            raise
        raise LMError(f"--optimizer {name}: the teacher's answers could not be read") from error
    candidates = tuple(optimizer.read_candidates(done))
    keep_fields(done.select)
    return OptimizedPrompt(done.select, budget.calls, candidates)
