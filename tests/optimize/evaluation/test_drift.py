"""Drift: what feedback says of confidence and of what comes in."""

import numpy as np
import pytest

from optimize.evaluation.drift import compare_with_confidence, drift
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback
from task_delegator.system import append_row


@pytest.mark.parametrize(("honest", "fits"), [(True, True), (False, False)])
def test_drift_is_told_from_chance(tmp_path, honest, fits):
    rng = np.random.default_rng(0)
    log = tmp_path / "f.jsonl"
    for stated in rng.uniform(0.5, 1.0, 300):
        right = rng.random() < (stated if honest else stated - 0.3)
        row = Feedback(
            task="t",
            agent="a",
            correct_agent="a" if right else "b",
            decision="assign" if stated > 0.9 else "review",
            confidence=float(stated),
        )
        append_row(log, row)
    found = drift(log)
    assert found.fits is fits
    assert found.n == 300
    assert 0 < found.assigned < 300


def log_of(rng, n, shift=0.0, threshold=0.9, reviewed=1.0, assigned=1.0, confirmed=1.0):
    """Return outcomes of delegations.

    Args:
        shift: how far the confidence is above the truth.
        reviewed, assigned: shares of either decision that are recorded.
        confirmed: share of the right outcomes that is recorded; every wrong one is.
    """
    rows = []
    while len(rows) < n:
        stated = rng.beta(5, 1)
        right = rng.random() < stated - shift
        decision = "assign" if stated >= threshold else "review"
        recorded = {"assign": assigned, "review": reviewed}[decision]
        if rng.random() < recorded * (confirmed if right else 1.0):
            found = "a" if right else "b"
            rows.append(Feedback(task="t", agent="a", correct_agent=found, decision=decision, confidence=stated))  # fmt: skip
    return rows


@pytest.mark.parametrize("assigned", [1.0, 0.1])
@pytest.mark.parametrize("n", [20, 200])
def test_a_calibrated_program_is_called_a_misfit_once_in_a_hundred_logs(n, assigned):
    rng = np.random.default_rng(0)
    logs = [log_of(rng, n, assigned=assigned) for _ in range(150)]
    found = [compare_with_confidence(rows) for rows in logs]
    alarms = sum(one is not None and one.fits is False for one in found)
    assert alarms <= 5  # of 1.5 expected: more would be seen once in 220 times


def test_overconfidence_is_found():
    rng = np.random.default_rng(0)
    found = [compare_with_confidence(log_of(rng, 200, shift=0.15)) for _ in range(50)]
    assert sum(one is not None and one.fits is False for one in found) >= 45


@pytest.mark.parametrize("confirmed", [0.0, 0.5, 1.0])
def test_a_log_that_only_reviewers_write_gives_no_verdict(confirmed):
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = compare_with_confidence(log_of(rng, 100, assigned=0.0, confirmed=confirmed))
        assert found is not None
        assert found.fits is None
        assert "cannot be tested" in found.sentence()


def test_outcomes_as_few_as_these_are_not_called_a_misfit_for_one_error():
    rows = [Feedback(task="t", agent="a", correct_agent="a", decision="assign", confidence=0.995)]
    wrong = Feedback(task="t", agent="a", correct_agent="b", decision="assign", confidence=0.995)
    # Among 20 at 99.5 % an error is seen in 10 % of the logs, though it is 3 sigma from the mean.
    found = compare_with_confidence([*rows * 19, wrong])
    assert found is not None
    assert found.p == pytest.approx(1 - 0.995**20, abs=0.02)
    assert found.fits is True


def test_who_was_told_none_and_had_an_agent_is_counted():
    assigned = Feedback(task="t", agent="a", correct_agent="a", decision="assign", confidence=0.9)
    nobody = Feedback(task="t", agent=None, correct_agent=None, decision="none", confidence=0.9)
    wrong = Feedback(task="t", agent=None, correct_agent="a", decision="none", confidence=0.9)
    found = compare_with_confidence([*[assigned] * 20, nobody, nobody, wrong])
    assert found is not None
    assert (found.n, found.none, found.none_correct) == (20, 3, 2)
    assert found.sentence().endswith("; of 3 that were told none, 1 had an agent")


def test_few_outcomes_say_nothing(tmp_path):
    log = tmp_path / "f.jsonl"
    append_row(
        log,
        Feedback(task="t", agent="a", correct_agent="b", decision="assign", confidence=0.99),
    )
    assert drift(log).fits is None
    message = "1 outcomes: too few to test calibration (20 needed)"
    assert drift(log).sentence() == message
    append_row(tmp_path / "bare.jsonl", Feedback(task="t", correct_agent="b"))
    with pytest.raises(InputError, match="no delegation that named an agent"):
        drift(tmp_path / "bare.jsonl")
