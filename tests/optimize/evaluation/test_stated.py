"""A confidence is judged on the traffic that it was made for."""

import numpy as np
import pytest

from optimize.evaluation import metrics
from optimize.evaluation.evaluate import evaluate
from optimize.evaluation.stated import (
    Stated,
    brier,
    calibrated_error_range,
    calibration_error,
    state,
)
from task_delegator.calibration import CalibratedAgents
from task_delegator.delegation import Candidate, Delegation, Evidence
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues

A_TENTH = KnobValues().replaced({"scope.share": 0.1})


def told(confidence, fits, calibrated=True):
    evidence = Evidence(
        ranking=("a",), correct_score=confidence, in_scope_score=fits, calibrated=calibrated
    )
    best = (Candidate("a", 1.0),)
    return Delegation(
        task="t", decision="review", agent="a", top3=best, confidence=confidence, reason="",
        evidence=evidence,
    )  # fmt: skip


def world(rng, inside, outside, shift=0.0) -> Stated:
    """Return what a calibrated program states; its confidence in the first agent is shifted."""
    there = np.arange(inside + outside) < inside
    seen = rng.normal(np.where(there, 1.0, -1.0))
    fits = 1 / (1 + np.exp(-(2 * seen + np.log(0.9 / 0.1))))
    right = 1 - 0.8 * rng.beta(1, 4, inside + outside)
    correct = there & (rng.random(inside + outside) < right - shift)
    return Stated(right * fits, correct, there, fits, 0.1)


def test_requests_out_of_scope_weigh_what_the_confidence_takes_for_granted():
    inside, outside = [told(0.72, 0.8)] * 3, [told(0.1, 0.2)]
    found = state(inside, np.array([True, True, False]), outside, A_TENTH)
    assert found.weights.tolist() == pytest.approx([0.3, 0.3, 0.3, 0.1])
    assert brier(found) == pytest.approx(0.3 * (2 * 0.28**2 + 0.72**2) + 0.1 * 0.1**2)


def test_without_requests_out_of_scope_the_confidence_is_that_if_some_agent_fits():
    found = state([told(0.72, 0.8)] * 4, np.array([True, True, True, False]), [], A_TENTH)
    assert found.confidences.tolist() == pytest.approx([0.9] * 4)
    assert calibration_error(found) == metrics.expected_calibration_error(
        found.confidences, found.right
    )
    bare = state([told(0.72, 0.8, calibrated=False)], np.array([True]), [], A_TENTH)
    assert bare.confidences.tolist() == [0.72]  # P(some agent fits) is no part of it


@pytest.mark.parametrize(("inside", "outside"), [(280, 100), (1500, 400)])
def test_a_calibrated_program_is_within_the_range_of_a_calibrated_program(inside, outside):
    rng, above = np.random.default_rng(0), 0
    for _ in range(50):
        found = world(rng, inside, outside)
        above += calibration_error(found) > calibrated_error_range(found, draws=200)[1]
    assert above <= 5  # of 1.25 expected


def test_ten_points_too_much_are_above_the_range():
    found = world(np.random.default_rng(0), 1500, 400, shift=0.1)
    assert calibration_error(found) > calibrated_error_range(found, draws=200)[1]


@pytest.mark.slow
def test_a_report_judges_the_confidence_with_requests_out_of_scope(dataset):
    program = Delegator(dataset.registry)
    program.knobs.set({"scope.share": 0.1, "scope.in_scope.bias": 1.0})
    agents = frozenset(agent.reading_digest() for agent in dataset.registry)
    program.calibrated_for = CalibratedAgents(agents, "labels", program.calibrated_for.trusted)
    report = evaluate(program, dataset, "test", name="p")
    assert report.n_out_of_scope > 0
    inside = [program(request.text) for request in dataset.splits["test"]]
    right = [
        d.top3[0].name in r.acceptable for d, r in zip(inside, dataset.splits["test"], strict=True)
    ]
    outside = [program(text) for text in dataset.out_of_scope["test"]]
    found = state(inside, np.array(right), outside, program.knobs.values)
    assert found.share == 0.1
    assert report.brier == pytest.approx(brier(found), abs=1e-6)
    assert report.ece == pytest.approx(calibration_error(found), abs=1e-3)
