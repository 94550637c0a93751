"""Pool an LM's selection with the ranking of a program that was compiled without one."""

from collections.abc import Sequence
from typing import Any

import dspy
import numpy as np

from optimize.data import Request
from optimize.evaluation import Outcome, delegate_all
from optimize.lm_stage import CachedClassify, ResponseCache, fit_weight, gain_curve, opened, pooled
from task_delegator.delegator import Delegator

PLACES = 5  # slots of the shortlist that the LM sees, in retrieval's order and reversed


def ask(
    program: Delegator, requests: Sequence[Request], lm: Any, answers: ResponseCache
) -> tuple[list[Outcome], int]:
    """Return each request as the LM answers it in two orders, and the LM tokens.

    The LM's probabilities are not pooled yet: ``fit_lm_weight`` fits their weight.
    """
    student = ask_always(program)
    student.classify = recalled = CachedClassify(student.classify.select, answers)
    with dspy.context(lm=lm):
        return delegate_all(student, requests, answers.path.stem), recalled.tokens


def ask_always(program: Delegator) -> Delegator:
    """Return the program that asks the LM about every request, in two orders."""
    return opened(
        program,
        {
            "lm.orders": 2,
            "lm.weight": 0.0,
            "lm.shortlist": PLACES,
            "lm.card": "brief",
            "lm.prior": 0.0,
            "lm.repeats": 1,
        },
    )


def fit_lm_weight(outcomes: Sequence[Outcome]) -> float:
    """Return the pooling weight of the LM that maximizes the acceptable agents' likelihood."""
    return fit_weight([gain_curve(outcome) for outcome in outcomes])


def pooled_ranks(outcomes: Sequence[Outcome], weight: float) -> np.ndarray:
    """Return the rank of the first acceptable agent after pooling, from 1; inf where missing."""
    found = []
    for outcome in outcomes:
        names = [candidate.name for candidate in pooled(outcome, weight)]
        right = [names.index(name) + 1 for name in outcome.request.acceptable if name in names]
        found.append(min(right, default=np.inf))
    return np.array(found)
