"""What a compilation says of its result."""

import pytest

from optimize.lm_stage import LMStageResult
from optimize.pipeline import lm_left_out


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, None),
        (LMStageResult(40, 30, gain=(0.4, 0.1), weight=1.2), None),
        (LMStageResult(40, 30, gain=(0.1, 0.07)), "it adds +0.100 (standard error 0.070)"),
        (LMStageResult(0, 4), "4 validation requests are too few to measure it"),
    ],
)
def test_why_an_lm_that_was_tried_is_not_asked_is_told(found, said):
    lines = lm_left_out(found)
    assert len(lines) == (said is not None)
    assert all(said in line for line in lines)
