"""The assign threshold: certified where the requests carry that, marked where they do not."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from task_delegator.decision.thresholds import (
    OperatingPoint,
    Sample,
    Target,
    choose_threshold,
    estimate_threshold,
)
from task_delegator.errors import InputError

_MANY = 200_000  # requests that stand for all there are


def drawn(n_in: int, n_out: int, rng: np.random.Generator) -> Sample:
    """Requests of a world: the confidence is calibrated in scope, and lower out of scope."""
    inside = 1 / (1 + np.exp(-rng.normal(2.6, 1.5, n_in)))
    outside = 1 / (1 + np.exp(-rng.normal(-0.8, 1.2, n_out)))
    return Sample(inside, rng.random(n_in) < inside, outside)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "target", "draws"), [(0.0, 0.92, 400), (0.2, 0.9, 120)])
def test_the_rule_keeps_its_promise_and_the_point_estimate_does_not(share, target, draws):
    rng = np.random.default_rng(0)
    everybody = drawn(_MANY, _MANY, rng)
    missed, missed_by_estimate, certified = 0, 0, 0
    for _ in range(draws):
        sample = drawn(250, 60, rng)
        found = choose_threshold(sample, Target(target, share))
        if found.kept:
            certified += 1
            missed += precision(everybody, at_least(found), share) < target
        missed_by_estimate += precision(everybody, estimate(sample, target, share), share) < target
    assert certified > draws / 3
    assert missed <= stats.binom.ppf(0.99, draws, 0.1)
    assert missed_by_estimate > draws / 3


def estimate(sample: Sample, target: float, share: float) -> float:
    """Return the least threshold that seems to reach the target."""
    edges = sample.thresholds()
    return min(t for t in edges if (sample.assigned(t).precision(share) or 0.0) >= target)


def precision(everybody: Sample, threshold: float, share: float) -> float:
    return everybody.assigned(threshold).precision(share) or 0.0


@st.composite
def samples(draw) -> Sample:
    row = st.tuples(st.floats(0, 1), st.booleans())
    rows = draw(st.lists(row, min_size=1, max_size=60))
    outside = draw(st.lists(st.floats(0, 1) | st.just(-np.inf), max_size=20))
    return Sample.of([c for c, _ in rows], [r for _, r in rows], outside)


def at_least(found: OperatingPoint) -> float:
    return np.inf if found.threshold is None else found.threshold


@settings(max_examples=60)
@given(samples(), st.floats(0.3, 1.0), st.floats(0.3, 1.0), st.sampled_from([0.0, 0.2]))
def test_a_more_demanding_target_never_lowers_the_threshold(sample, one, other, share):
    low, high = (
        choose_threshold(sample, Target(precision, share)) for precision in sorted((one, other))
    )
    assert at_least(low) <= at_least(high)
    assert low.kept or not high.kept


@example(Sample.of([1.0, 3.2e-31], [True, False], [1.2e-38]), 0.5)
@example(Sample.of([1.0, 1.2e-7], [True, False], [6e-8]), 0.5)
@given(samples(), st.floats(0.3, 1.0))
def test_share_0_is_the_rule_of_one_sample(sample, target):
    alone = Sample(sample.confidences, sample.right, np.array([]))
    found = choose_threshold(sample, Target(target, 0.0))
    again = choose_threshold(alone, Target(target, 0.0))
    # A threshold lies above the next lower confidence, which may be one out of scope: none in
    # scope lies between the two.
    low, high = sorted((at_least(found), at_least(again)))
    assert not ((sample.confidences >= low) & (sample.confidences < high)).any()
    assert (found.n, found.right, found.kept) == (again.n, again.right, again.kept)
    assert found.best == again.best
    if found.kept:
        assert stats.binom.cdf(found.n - found.right, found.n, 1 - target) <= 0.1 + 1e-9


@settings(max_examples=60)
@example(Sample.of([0.0, 1.0, 6e-290], [False, True, False], []), 0.5, 0.0)
@given(samples(), st.floats(0.3, 1.0), st.sampled_from([0.0, 0.2]))
def test_what_is_promised_is_what_the_threshold_does(sample, target, share):
    found = choose_threshold(sample, Target(target, share))
    counts = sample.assigned(at_least(found))
    assert (found.n, found.right, found.out_of_scope) == (
        counts.assigned,
        counts.right,
        counts.out_of_scope,
    )
    assert found.lower_bound <= found.precision
    assert found.best is None or found.best < target
    if found.threshold is not None:
        assert found.precision >= target


def test_many_requests_certify_a_demanding_target():
    """With thousands of requests the first threshold is a high one."""
    found = choose_threshold(drawn(5000, 2000, np.random.default_rng(1)), Target(0.98))
    assert found.kept
    assert found.coverage < 0.6


def test_too_few_requests_say_what_they_can_carry():
    sample = Sample.of([0.9] * 20, [True] * 20, [0.1] * 10)
    found = choose_threshold(sample, Target())
    assert not found.kept
    assert found.threshold == pytest.approx(0.9, abs=1e-4)
    assert found.best == pytest.approx(0.9, abs=0.05)
    assert (
        "cannot be certified with n = 20 in scope and 10 out of scope, the best is"
    ) in found.sentence()


def test_without_requests_out_of_scope_the_promise_is_for_those_in_scope():
    found = choose_threshold(Sample.of([0.9] * 60, [True] * 60), Target())
    assert found.kept
    assert found.out_of_scope_share == 0.0
    assert "at 0% out of scope (no labeled request is out of scope)" in found.sentence()


def test_what_is_always_assigned_counts_beside_the_threshold():
    right = [True] * 80 + [False] * 4
    alone = choose_threshold(Sample.of([0.5] * 84, right), Target(0.95, 0.0))
    beside = Sample.of([0.5] * 84 + [np.inf] * 100, [*right, *[True] * 100])
    assert not alone.kept
    assert choose_threshold(beside, Target(0.95, 0.0)).threshold == pytest.approx(0.5, abs=1e-4)


def test_nothing_that_is_turned_away_is_assigned():
    found = choose_threshold(Sample.of([-np.inf] * 40, [True] * 40), Target(0.5, 0.0))
    assert (found.threshold, found.n, found.kept) == (None, 0, False)


@pytest.mark.parametrize(
    ("numbers", "named"),
    [((0.0, 0.2, 0.1), "target precision 0.0"), ((0.9, 1.0, 0.1), "out-of-scope share 1.0"),
     ((0.9, 0.2, 0.0), "delta 0.0"), ((float("nan"), 0.2, 0.1), "target precision nan")],
)  # fmt: skip
def test_a_number_out_of_range_is_refused(numbers, named):
    with pytest.raises(InputError, match=named):
        Target(*numbers)


@pytest.mark.parametrize("shared", [105.5 / 106, 0.9, 1.0, 1 / 3])
def test_requests_that_share_a_confidence_are_assigned_whatever_its_last_digit(shared):
    """A constant model gives one confidence to all; tasks that are read together differ by 1e-6."""
    sample = Sample(np.full(200, shared), np.arange(200) > 1, np.zeros(0))
    threshold = estimate_threshold(sample, 0.95)
    assert threshold is not None
    assert threshold <= shared - 2e-6
    assert threshold == pytest.approx(shared, abs=1e-4)


@pytest.mark.parametrize("wrong", [0.3, 0.5, 0.7, 0.9])
def test_a_threshold_keeps_apart_what_differs_in_its_last_digit(wrong):
    """The mean of neighboring floats may be the lower one."""
    right = float(np.nextafter(wrong, 1))
    sample = Sample.of([right] * 5 + [wrong] * 5, [True] * 5 + [False] * 5)
    assert choose_threshold(sample, Target(0.9, 0.0)).n == 5
