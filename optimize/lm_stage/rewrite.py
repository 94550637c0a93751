"""Let an optimizer of DSPy rewrite the prompt, within its share of the calls."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import dspy

from optimize.data import Request
from optimize.lm_stage.budget import held_out_count
from optimize.lm_stage.config import LMStageConfig
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

_log = logging.getLogger(__name__)


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
    config: LMStageConfig,
    calls: int,
) -> Rewritten:
    """Run the optimizer on labeled requests, some of them held out to compare prompts on."""
    if config.optimizer is None:
        return Rewritten(ran=False)
    shown = examples(program, requests, config.seed)
    held_out = held_out_count(len(shown))
    if not writes(lm) or held_out == 0:
        reason = "three train requests are needed" if writes(lm) else f"{lm.model} only decides"
        _log.warning("--optimizer %s is not run: %s", config.optimizer, reason)
        return Rewritten(ran=False)
    inputs = OptimizerInputs(
        calls=calls,
        trainset=shown[held_out:],
        valset=shown[:held_out],
        metric=right_slot,
        feedback=slot_feedback,
        teacher=config.teacher or lm,
        seed=config.seed,
    )
    plain = program.classify.select
    made = optimize(config.optimizer, plain, lm, inputs)
    same = made.select is None or made.select.dump_state() == plain.dump_state()
    return Rewritten(True, None if same else made.select, made.calls, made.candidates)
