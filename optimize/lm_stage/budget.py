"""How the LM stage divides its calls: the optimizer, comparing ways of asking, fitting."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from optimize.config import PRESETS
from optimize.prompts import OPTIMIZERS
from task_delegator.errors import InputError
from task_delegator.stages import Card

FEWEST_COMPARED = 15  # with fewer answers no two ways of asking can be told apart
MOST_COMPARED = 40
_CALLS_PER_COMPARED = 3  # beside one per card: the second order, prior, optimized prompt
_HELD_OUT = 20  # train requests on which an optimizer compares its candidates
_PRIOR_CALLS = 3
_FIT_SHARE = 0.25  # of what the optimizer leaves: answers beyond those that were compared


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How the LM stage divides its calls.

    Attributes:
        optimizer: LM calls of the optimizer.
        compared: validation requests on which ways of asking are compared.
        fitted: LM calls for further requests, asked in the chosen way.
    """

    optimizer: int
    compared: int
    fitted: int


def plan_calls(
    optimizer: str | None,
    max_lm_calls: int,
    train: int,
    cards: Sequence[Card] = PRESETS["full"].cards,
) -> CallPlan:
    """Divide the LM calls between the optimizer and measuring what answers are worth.

    Args:
        optimizer: its name, None where the prompt stays as it is.
        max_lm_calls: of the LM stage.
        train: train requests, of which some are held out to compare prompts on.
        cards: that are compared.

    Raises:
        InputError: the optimizer cannot do its work, or too few answers can be measured.
    """
    least = least_calls(optimizer, train, cards)
    if max_lm_calls < least:
        full = " or --preset full" if max_lm_calls < least <= PRESETS["full"].max_lm_calls else ""
        what = "the LM stage" if optimizer is None else f"--optimizer {optimizer}"
        raise InputError(
            f"{what} needs at least {least} LM calls, not {max_lm_calls}; "
            f"give --max-lm-calls {least}{full}"
        )
    return _divided(optimizer, max_lm_calls, len(cards))


def least_calls(
    optimizer: str | None, train: int, cards: Sequence[Card] = PRESETS["full"].cards
) -> int:
    """Return the fewest LM calls of the LM stage with which an optimizer can do its work."""
    held_out = held_out_count(train)
    own = 0
    if optimizer is not None and held_out:
        own = OPTIMIZERS[optimizer].least(train - held_out, held_out)

    def enough(calls: int) -> bool:
        plan = _divided(optimizer, calls, len(cards))
        return plan.optimizer >= own and plan.compared >= FEWEST_COMPARED

    # Shares are rounded down: one call more may leave one less for the rest.
    return next(n for n in itertools.count(1) if all(enough(n + more) for more in range(10)))


def held_out_count(train: int) -> int:
    """Return how many requests stay aside to judge the prompts."""
    return min(_HELD_OUT, train // 3)


def _divided(optimizer: str | None, calls: int, cards: int) -> CallPlan:
    each = _CALLS_PER_COMPARED + cards
    own = 0 if optimizer is None else int(calls * OPTIMIZERS[optimizer].share)
    rest = max(calls - own - _PRIOR_CALLS, 0)
    compared = min(int(rest * (1 - _FIT_SHARE)) // each, MOST_COMPARED)
    return CallPlan(own, compared, rest - compared * each)
