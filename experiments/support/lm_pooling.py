"""A program that was compiled without an LM, heard with one."""

from collections.abc import Sequence
from typing import Any

import dspy
import numpy as np

from optimize.answers import Answers
from optimize.data import Request
from optimize.evaluate import Outcome, delegate_all
from optimize.gains import fit_weight, gain_curve, pooled
from optimize.recall import Recalled
from optimize.teach import opened
from task_delegator.delegator import Delegator

PLACES = 5  # of the shortlist that the LM sees, in retrieval's order and turned round


def ask(
    program: Delegator, requests: Sequence[Request], lm: Any, answers: Answers
) -> tuple[list[Outcome], int]:
    """Return what the LM says of each request in two orders, and the tokens it took.

    Its word has no weight yet: ``weight_of`` fits one.
    """
    student = as_asked(program)
    student.classify = recalled = Recalled(student.classify.select, answers)
    with dspy.context(lm=lm):
        return delegate_all(student, requests, answers.path.stem), recalled.tokens


def as_asked(program: Delegator) -> Delegator:
    """Return the program as it is asked: the gate open, two orders of a short shortlist."""
    return opened(program, orders=2, lm=0.0, k=PLACES, prior=0.0, repeats=1)


def weight_of(outcomes: Sequence[Outcome]) -> float:
    """Return the weight of the LM's word that adds most to the right agents' likelihood."""
    return fit_weight([gain_curve(outcome) for outcome in outcomes])


def places(outcomes: Sequence[Outcome], weight: float) -> np.ndarray:
    """Return the place of the first right agent after the LM's word, from 1; inf where missing."""
    found = []
    for outcome in outcomes:
        names = [candidate.name for candidate in pooled(outcome, weight)]
        right = [names.index(name) + 1 for name in outcome.request.acceptable if name in names]
        found.append(min(right, default=np.inf))
    return np.array(found)
