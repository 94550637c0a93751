"""Detect drift: test the stated confidence against recorded outcomes.

A confidence is P(right if some agent fits) times P(some agent fits), and takes a share of the
requests to be for nobody. Each part is tested on its own: the first on outcomes that name an
agent, whatever share of the traffic they are; the second on how many say that nobody is right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from optimize.data import agreed, last_answers
from optimize.evaluation import metrics
from optimize.evaluation.metrics import CalibrationTest
from optimize.evaluation.stated import if_some_fits
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback, read_feedback
from task_delegator.text import fold

_FALSE_ALARM_RATE = 0.01  # share of calibrated programs' logs that are reported as drift
_MIN_OUTCOMES = 20  # with fewer the test has too little power


@dataclass(frozen=True, slots=True)
class ScopeDrift:
    """Whether as many requests are for nobody as P(some agent fits) says.

    Attributes:
        n, nobody: outcomes, and those that say that nobody is right.
        expected: how many would be expected.
        p, p_ece: p-values of their number, and of the calibration error of P(some agent fits).
        fits: False where it does not fit.
    """

    n: int
    nobody: int
    expected: float
    p: float
    p_ece: float
    fits: bool

    def sentence(self) -> str:
        """Return what does not fit, in a line."""
        return (
            f"P(some agent fits) does not: of {self.n} outcomes {self.nobody} were for nobody, "
            f"{self.expected:.0f} were expected (p = {min(1.0, 4 * min(self.p, self.p_ece)):.2g})"
        )


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether recorded outcomes fit the stated confidence.

    Attributes:
        n: tested outcomes of delegations that named an agent: those where some agent was right,
            or all of them in a log without P(some agent fits).
        accuracy: share of these outcomes that were correct.
        mean_confidence: mean stated probability: P(right if some agent fits), or the confidence.
        p: p-value of the accuracy, under a calibrated confidence.
        ece, ece_calibrated_range: expected calibration error, and its range under a calibrated
            confidence.
        p_ece: p-value of the calibration error, under a calibrated confidence.
        assigned, assigned_correct: assigned delegations, and those that were correct.
        fits: False where one of the tests fails, which happens to a calibrated program in at most
            1 % of the logs (Bonferroni's correction for two or four tests); None where it cannot
            be tested: fewer than 20 outcomes, or only reviewed delegations.
        none, none_correct: those that named nobody, and those of them where nobody was right.
        overstated_only: whether the log lacks P(some agent fits), so that only a confidence that
            is too high can be found.
        right_fits: whether the first two tests alone are passed.
        scope: of P(some agent fits); None where no outcome says that nobody is right.
        disagreed: requests that were left out since persons disagree.
    """

    n: int
    accuracy: float
    mean_confidence: float
    p: float
    ece: float
    ece_calibrated_range: tuple[float, float]
    p_ece: float
    assigned: int
    assigned_correct: int
    fits: bool | None
    none: int = 0
    none_correct: int = 0
    overstated_only: bool = False
    right_fits: bool | None = None
    scope: ScopeDrift | None = None
    disagreed: int = 0

    def sentence(self) -> str:
        """Return the result in one line."""
        told = self._of_agents()
        if self.disagreed:
            told += f"; {self.disagreed} were left out, as persons disagree"
        if not self.none:
            return told
        wrong = self.none - self.none_correct
        return f"{told}; of {self.none} that were told none, {wrong} had an agent"

    def _of_agents(self) -> str:
        if self.n < _MIN_OUTCOMES:
            return f"{self.n} outcomes: too few to test calibration ({_MIN_OUTCOMES} needed)"
        if self.fits is None:
            return (
                f"{self.n} outcomes of reviewed delegations only: calibration cannot be tested, "
                "since reviewers may record corrections more often than confirmations; record "
                "outcomes of assigned tasks as well"
            )
        if self.fits:
            return f"{self.n} outcomes fit the stated confidence{self._untested()}"
        told = []
        if not self.right_fits:
            tests = 2 if self.scope is None else 4
            p = min(1.0, tests * min(self.p, self.p_ece))
            told.append(
                f"{self.n} outcomes do not fit the stated confidence: {self.accuracy:.1%} were "
                f"correct, {self.mean_confidence:.1%} were expected (p = {p:.2g})"
            )
        if self.scope is not None and not self.scope.fits:
            told.append(self.scope.sentence())
        return "; ".join(told) + (
            "; this assumes that correct and incorrect outcomes are recorded alike"
        )

    def _untested(self) -> str:
        if self.overstated_only:
            return ", which is not too high; whether it is too low cannot be told of older rows"
        if self.scope is None:
            return "; none says that nobody is right, so that P(some agent fits) is not tested"
        return ""


def drift(log: str | Path) -> Drift:
    """Compare the outcomes of a log with the confidence that was stated.

    Raises:
        InputError: the log is broken or holds no delegation with a confidence.
    """
    outcomes, disagreed = one_per_request(list(read_feedback(log)))
    found = compare_with_confidence(outcomes, disagreed)
    if found is None:
        raise InputError(
            f"{log}: no delegation that named an agent, with its confidence; record them with "
            "--delegate (that nobody fits is not tested)"
        )
    return found


def one_per_request(feedback: Sequence[Feedback]) -> tuple[list[Feedback], int]:
    """Return the outcome of each delegated task, and how many were left out.

    It is what all persons say last; where they disagree, the task is left out. A task that was
    asked again says nothing new: the last delegation counts.
    """
    delegated = {fold(row.task): row for row in feedback if row.decision is not None}
    outcomes, disagreed = [], 0
    for task, answers in last_answers(feedback).items():
        if task not in delegated:
            continue
        if agreed(answers):
            right = answers[0].correct_agent
            outcomes.append(delegated[task].model_copy(update={"correct_agent": right}))
        else:
            disagreed += 1
    return outcomes, disagreed


def compare_with_confidence(feedback: Sequence[Feedback], disagreed: int = 0) -> Drift | None:
    """Compare recorded outcomes with the confidence that was stated; None without any.

    Recording only some confidences does not bias the test: of the requests with a confidence
    of 70 %, 70 % are correct, however many of them are recorded. Recording by outcome does. A
    log of reviewed delegations alone may be a list of corrections and is not tested.

    Args:
        feedback: one outcome per request.
        disagreed: requests that were left out.
    """
    named = [row for row in feedback if row.decision in ("assign", "review")]
    if not named:
        return None
    inside = [r for r in named if r.in_scope_score is not None and r.correct_agent is not None]
    # Older rows lack P(some agent fits). Of outcomes that all name an agent more are right than a
    # confidence says that takes some for nobody: that it is too high can be told all the same.
    older = len(inside) < _MIN_OUTCOMES and any(row.in_scope_score is None for row in named)
    rows = named if older else inside
    if not rows:
        rows, older = named, True
    stated = np.array([_stated(row, whole=older) for row in rows], dtype=float)
    correct = np.array([row.correct for row in rows])
    test = metrics.calibration_test(stated, correct, seed=_seed(stated), overstated=older)
    assigned = [row for row in named if row.decision == "assign"]
    nobody = [row for row in feedback if row.decision == "none"]
    testable = len(rows) >= _MIN_OUTCOMES and len(assigned) > 0
    scope = _test_scope(feedback) if testable and not older else None
    tests = 2 if scope is None else 4
    right_fits = _passes(test, tests)
    fits = right_fits and (scope is None or scope.fits)
    return Drift(
        n=len(rows),
        accuracy=float(correct.mean()),
        mean_confidence=float(stated.mean()),
        p=test.share_p,
        ece=metrics.expected_calibration_error(stated, correct),
        ece_calibrated_range=test.ece_range,
        p_ece=test.ece_p,
        assigned=len(assigned),
        assigned_correct=sum(row.correct for row in assigned),
        fits=fits if testable else None,
        none=len(nobody),
        none_correct=sum(row.correct_agent is None for row in nobody),
        overstated_only=older,
        right_fits=right_fits if testable else None,
        scope=scope,
        disagreed=disagreed,
    )


def _stated(row: Feedback, *, whole: bool) -> float:
    """Return the confidence of a row as a whole, or P(right if some agent fits)."""
    confidence = row.confidence or 0.0
    return confidence if whole else if_some_fits(confidence, row.in_scope_score or 0.0)


def _test_scope(feedback: Sequence[Feedback]) -> ScopeDrift | None:
    """Test P(some agent fits), None where no outcome says that nobody is right.

    A log without any may be one of tasks that an agent was looked for.
    """
    rows = [row for row in feedback if row.in_scope_score is not None]
    fits = np.array([row.in_scope_score for row in rows], dtype=float)
    inside = np.array([row.correct_agent is not None for row in rows])
    if inside.all() or len(rows) < _MIN_OUTCOMES:
        return None
    test = metrics.calibration_test(fits, inside, seed=_seed(fits))
    return ScopeDrift(
        n=len(rows),
        nobody=int((~inside).sum()),
        expected=float((1 - fits).sum()),
        p=test.share_p,
        p_ece=test.ece_p,
        fits=_passes(test, 4),
    )


def _seed(stated: np.ndarray) -> int:
    """Return a seed of the log's own: with one for all, some sizes would alarm twice as often."""
    return crc32(stated.tobytes())


def _passes(test: CalibrationTest, tests: int) -> bool:
    return tests * min(test.share_p, test.ece_p) >= _FALSE_ALARM_RATE
