"""Outcome: a labeled request with the delegation of a program, graded."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import dspy
import numpy as np
from tqdm import tqdm

from optimize.data import Dataset, Request
from task_delegator.delegation import Delegation, Plan
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError, LMError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One labeled request and the program's delegation of it."""

    request: Request
    delegation: Delegation

    @property
    def ranking(self) -> list[str]:
        """The agents that the program ranked, highest first."""
        return list(self.delegation.evidence.ranking)

    @property
    def rank(self) -> int | None:
        """Place of the first acceptable agent, from 1; None where none was ranked."""
        places = (i for i, name in enumerate(self.ranking, 1) if name in self.request.acceptable)
        return next(places, None)

    @property
    def confidence(self) -> float:
        """How likely the first agent is right, as the program says, whatever it decided."""
        return self.delegation.evidence.correct_score

    @property
    def correct(self) -> bool:
        """Whether the first agent is acceptable."""
        return self.rank == 1


def select(requests: Sequence[T], limit: int | None, seed: int) -> list[T]:
    """Return a random subset fixed by the seed, in the given order; all without a limit.

    Raises:
        InputError: the limit is below 1.
    """
    if limit is None or limit >= len(requests):
        return list(requests)
    if limit < 1:
        raise InputError(f"--limit {limit}: must be at least 1")
    kept = sorted(random.Random(seed).sample(range(len(requests)), limit))
    return [requests[i] for i in kept]


def select_requests(dataset: Dataset, split: str, limit: int | None, seed: int) -> list[Request]:
    """Return the requests of a split, or a random subset fixed by the seed.

    Raises:
        InputError: the split is empty, or the limit below 1.
    """
    requests = select(dataset.splits[split], limit, seed)
    if not requests:
        raise InputError(f"{dataset.path}: the {split} split is empty")
    return requests


def delegate_all(
    program: Delegator, requests: Iterable[Request], what: str, *, one_by_one: bool = False
) -> list[Outcome]:
    """Delegate every request, with a progress bar.

    Args:
        program, requests: what is delegated, and by what.
        what: on the bar.
        one_by_one: in turn, as where what one request takes is measured.
    """
    known = list(requests)
    delegations = delegate_texts(program, [r.text for r in known], what, one_by_one=one_by_one)
    return list(map(Outcome, known, delegations))


def delegate_texts(
    program: Delegator, texts: Sequence[str], what: str, *, one_by_one: bool = False
) -> list[Delegation]:
    """Delegate texts as ``delegate_all`` does requests.

    They are delegated together, unless an LM may be asked, whose calls are counted and recorded
    in turn, or callbacks watch each. A program's ``max_lm_share`` holds of
    these texts, all of which are known then.

    Raises:
        LMError: as for ``delegate_measured``.
    """
    in_turn = program.may_ask_lm() or bool(dspy.settings.callbacks)
    if one_by_one or (in_turn and program.max_lm_share is None):
        bar = tqdm(texts, desc=what, unit="task", delay=3, leave=False)
        return [delegate_measured(program, text) for text in bar]
    found = program.delegate_each(texts, threads=1)
    bar = tqdm(found, desc=what, unit="task", delay=3, leave=False, total=len(texts))
    delegations = []
    for answer in bar:
        if not isinstance(answer, Delegation):
            raise answer
        _require_lm(answer)
        delegations.append(answer)
    return delegations


def delegate_measured(program: Delegator, task: str) -> Delegation:
    """Delegate a task whose delegation is measured: an LM that is away is no way to be measured.

    What it answered and could not be read is part of how it does.

    Raises:
        LMError: the LM was needed and cannot be reached, refuses or takes too long.
    """
    delegation = program(task)
    _require_lm(delegation)
    return delegation


def plan_measured(program: Delegator, task: str) -> Plan:
    """Plan a task whose plan is measured, as ``delegate_measured`` does.

    Raises:
        LMError: the LM was needed, for the split or a part, and cannot be reached, refuses or
            takes too long.
    """
    plan = program.plan(task)
    if plan.lm_failure is not None:
        raise LMError(plan.lm_failure.message)
    for step in plan.steps:
        _require_lm(step.delegation)
    return plan


def _require_lm(delegation: Delegation) -> None:
    failure = delegation.evidence.lm_failure
    if failure is not None and delegation.evidence.lm is None:
        raise LMError(failure.message)


def grade_outcomes(outcomes: Sequence[Outcome]) -> np.ndarray:
    """Return whether the first-ranked agent of each outcome is acceptable, shape (n,), bool."""
    return np.array([outcome.correct for outcome in outcomes], dtype=bool)
