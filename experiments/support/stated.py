"""ECE of what a program states, with its range, as the rows of studies hold both."""

from typing import Any

from optimize.evaluation import stated
from optimize.evaluation.stated import Stated


def errors_of(said: Stated) -> dict[str, Any]:
    """Return the ECE and the central 95 % of a calibrated program's, as evaluation does."""
    return {
        "ece": stated.calibration_error(said),
        "ece_calibrated_range": stated.calibrated_error_range(said),
    }
