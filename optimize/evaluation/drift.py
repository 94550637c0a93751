"""Does the stated confidence still fit what happened?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optimize.evaluation import metrics
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback, read_feedback

_FALSE_ALARMS = 0.01  # share of logs of a calibrated program that may be called misfits
_FEWEST = 20  # outcomes; with fewer, only gross misfits could be found


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether recorded outcomes fit the stated confidence.

    Attributes:
        n: outcomes of delegations that named an agent.
        right, stated: share that was right, and the mean stated confidence.
        p: probability of a share at least as far from the stated one, were the confidence
            calibrated.
        ece, ece_calibrated_range: calibration error, and the range that chance explains.
        p_ece: probability of a calibration error at least as large, were it calibrated.
        assigned, assigned_right: delegations that were assigned, and how many rightly.
        fits: False where either p is below 0.5 %, which happens to a calibrated program in at
            most 1 % of the logs (Bonferroni's correction for two tests); None where it cannot
            be told: there are fewer than 20 outcomes, or only reviewed delegations.
    """

    n: int
    right: float
    stated: float
    p: float
    ece: float
    ece_calibrated_range: tuple[float, float]
    p_ece: float
    assigned: int
    assigned_right: int
    fits: bool | None

    def sentence(self) -> str:
        """Return the result in one line."""
        if self.n < _FEWEST:
            return f"{self.n} outcomes: too few to test calibration ({_FEWEST} needed)"
        if self.fits is None:
            return (
                f"{self.n} outcomes of reviewed delegations only: calibration cannot be tested, "
                "since reviewers may record corrections more often than confirmations; record "
                "outcomes of assigned tasks as well"
            )
        if self.fits:
            return f"{self.n} outcomes fit the stated confidence"
        return (
            f"{self.n} outcomes do not fit the stated confidence: {self.right:.1%} were right, "
            f"{self.stated:.1%} were expected (p = {min(1.0, 2 * min(self.p, self.p_ece)):.2g}); "
            "this assumes that outcomes are recorded whether right or wrong"
        )


def drift(log: str | Path) -> Drift:
    """Compare the outcomes of a log with the confidence that was stated.

    Raises:
        InputError: the log is broken or holds no delegation with a confidence.
    """
    found = compare_with_confidence(list(read_feedback(log)))
    if found is None:
        raise InputError(f"{log}: no delegation with a confidence; record them with --delegate")
    return found


def compare_with_confidence(feedback: Sequence[Feedback]) -> Drift | None:
    """Compare recorded outcomes with the confidence that was stated; None without any.

    Selection by confidence does no harm: of the requests with a confidence of 70 %, 70 % are
    right, however many of them are recorded. Selection by outcome does, and a log of reviewed
    delegations alone may be a list of corrections: of such a log no verdict is given.
    """
    rows = [
        row
        for row in feedback
        if row.decision in ("assign", "review") and row.confidence is not None
    ]
    if not rows:
        return None
    stated = np.array([row.confidence for row in rows], dtype=float)
    right = np.array([row.right for row in rows])
    test = metrics.calibration_test(stated, right)
    assigned = [row for row in rows if row.decision == "assign"]
    testable = len(rows) >= _FEWEST and len(assigned) > 0
    return Drift(
        n=len(rows),
        right=float(right.mean()),
        stated=float(stated.mean()),
        p=test.share_p,
        ece=metrics.expected_calibration_error(stated, right),
        ece_calibrated_range=test.ece_range,
        p_ece=test.ece_p,
        assigned=len(assigned),
        assigned_right=sum(row.right for row in assigned),
        fits=2 * min(test.share_p, test.ece_p) >= _FALSE_ALARMS if testable else None,
    )
