"""How the LM stage divides its calls: the optimizer, the answers, the rubric, the prior."""

import itertools
from dataclasses import dataclass

from optimize.config import PRESETS
from optimize.prompts import (
    OPTIMIZERS,
)
from task_delegator.errors import InputError

FEWEST_ASKED = 15  # with fewer answers neither weight nor confidence can be fitted
_HELD_OUT = 20  # train requests on which an optimiser compares its candidates
_RUBRIC_SHARE = 0.1
_PRIOR_CALLS = 3
_CALLS_PER_REQUEST = 3 * 2  # three variants of asking, each in two orders


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How the LM stage divides its calls.

    Attributes:
        optimizer: LM calls of the optimizer.
        rubric: LM calls for ratings of the first place.
        requests: unsure validation requests that the LM may be asked about.
    """

    optimizer: int
    rubric: int
    requests: int


def plan_calls(optimizer: str, max_lm_calls: int, train: int) -> CallPlan:
    """Divide the LM calls between the optimizer and measuring what its prompt is worth.

    Args:
        optimizer: its name.
        max_lm_calls: of the LM stage.
        train: train requests, of which some are held out to compare prompts on.

    Raises:
        InputError: the optimizer cannot do its work, or too few answers can be measured.
    """
    least = least_calls(optimizer, train)
    if max_lm_calls < least:
        full = " or --preset full" if max_lm_calls < least <= PRESETS["full"].max_lm_calls else ""
        raise InputError(
            f"--optimizer {optimizer} needs at least {least} LM calls, not {max_lm_calls}; "
            f"give --max-lm-calls {least}{full}"
        )
    return _divided(optimizer, max_lm_calls)


def least_calls(optimizer: str, train: int) -> int:
    """Return the fewest LM calls of the LM stage with which an optimizer can do its work."""
    held_out = held_out_count(train)
    own = OPTIMIZERS[optimizer].least(train - held_out, held_out) if held_out else 0

    def enough(calls: int) -> bool:
        plan = _divided(optimizer, calls)
        return plan.optimizer >= own and plan.requests >= FEWEST_ASKED

    # Shares are rounded down: one call more may leave one less for the rest.
    return next(n for n in itertools.count(1) if all(enough(n + more) for more in range(10)))


def _divided(optimizer: str, calls: int) -> CallPlan:
    own, rubric = int(calls * OPTIMIZERS[optimizer].share), int(calls * _RUBRIC_SHARE)
    rest = max(calls - own - rubric - _PRIOR_CALLS, 0)
    return CallPlan(own, rubric, rest // _CALLS_PER_REQUEST)


def held_out_count(train: int) -> int:
    """Return how many requests stay aside to judge the prompts."""
    return min(_HELD_OUT, train // 3)
