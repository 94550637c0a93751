"""Detect drift: test the stated confidence against recorded outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optimize.evaluation import metrics
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback, read_feedback

_FALSE_ALARM_RATE = 0.01  # share of calibrated programs' logs that are reported as drift
_MIN_OUTCOMES = 20  # with fewer the test has too little power


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether recorded outcomes fit the stated confidence.

    Attributes:
        n: outcomes of delegations that named an agent.
        accuracy: share of these outcomes that were correct.
        mean_confidence: mean stated confidence.
        p: p-value of the accuracy, under a calibrated confidence.
        ece, ece_calibrated_range: expected calibration error, and its range under a calibrated
            confidence.
        p_ece: p-value of the calibration error, under a calibrated confidence.
        assigned, assigned_correct: assigned delegations, and those that were correct.
        none, none_correct: those that named nobody, and those of them where nobody was right.
        fits: False where either p is below 0.5 %, which happens to a calibrated program in at
            most 1 % of the logs (Bonferroni's correction for two tests); None where it cannot
            be tested: fewer than 20 outcomes, or only reviewed delegations.
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

    def sentence(self) -> str:
        """Return the result in one line."""
        if not self.none:
            return self._of_agents()
        wrong = self.none - self.none_correct
        return f"{self._of_agents()}; of {self.none} that were told none, {wrong} had an agent"

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
            return f"{self.n} outcomes fit the stated confidence"
        p = min(1.0, 2 * min(self.p, self.p_ece))
        return (
            f"{self.n} outcomes do not fit the stated confidence: "
            f"{self.accuracy:.1%} were correct, {self.mean_confidence:.1%} were expected "
            f"(p = {p:.2g}); "
            "this assumes that correct and incorrect outcomes are recorded alike"
        )


def drift(log: str | Path) -> Drift:
    """Compare the outcomes of a log with the confidence that was stated.

    Raises:
        InputError: the log is broken or holds no delegation with a confidence.
    """
    found = compare_with_confidence(list(read_feedback(log)))
    if found is None:
        raise InputError(
            f"{log}: no delegation that named an agent, with its confidence; record them with "
            "--delegate (that nobody fits is not tested)"
        )
    return found


def compare_with_confidence(feedback: Sequence[Feedback]) -> Drift | None:
    """Compare recorded outcomes with the confidence that was stated; None without any.

    Recording only some confidences does not bias the test: of the requests with a confidence
    of 70 %, 70 % are correct, however many of them are recorded. Recording by outcome does. A
    log of reviewed delegations alone may be a list of corrections and is not tested.
    """
    rows = [
        row
        for row in feedback
        if row.decision in ("assign", "review") and row.confidence is not None
    ]
    if not rows:
        return None
    stated = np.array([row.confidence for row in rows], dtype=float)
    correct = np.array([row.correct for row in rows])
    test = metrics.calibration_test(stated, correct)
    assigned = [row for row in rows if row.decision == "assign"]
    nobody = [row for row in feedback if row.decision == "none"]
    testable = len(rows) >= _MIN_OUTCOMES and len(assigned) > 0
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
        fits=2 * min(test.share_p, test.ece_p) >= _FALSE_ALARM_RATE if testable else None,
        none=len(nobody),
        none_correct=sum(row.correct_agent is None for row in nobody),
    )
