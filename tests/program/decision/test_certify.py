"""A precision is certified no more often than it may wrongly be, whatever the true rates are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from task_delegator.decision.certify import Counts, lower_bound, p_value


@st.composite
def counts(draw) -> Counts:
    n_in, n_out = draw(st.integers(1, 60)), draw(st.integers(1, 30))
    assigned = draw(st.integers(0, n_in))
    right = draw(st.integers(0, assigned))
    return Counts(n_in, n_out, right, assigned - right, draw(st.integers(0, n_out)))


@given(counts(), st.floats(0.5, 0.99))
def test_at_share_0_it_is_the_exact_test_of_one_sample(found, target):
    expected = 1.0
    if found.assigned:
        expected = stats.binomtest(
            found.right, found.assigned, target, alternative="greater"
        ).pvalue
    assert p_value(found, target, 0.0, 0.1) == pytest.approx(expected, abs=1e-9)


@given(counts(), st.floats(0.0, 0.9), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_more_demanding_target_is_certified_no_more_easily(found, share, one, other):
    low, high = sorted((one, other))
    assert p_value(found, low, share, 0.1) <= p_value(found, high, share, 0.1) + 1e-9


@given(counts(), st.floats(0.0, 0.9))
def test_the_bound_is_below_the_estimate_and_certified(found, share):
    bound = lower_bound(found, share, 0.1)
    assert 0 <= bound <= (found.precision(share) or 0.0)
    assert bound == 0 or p_value(found, bound, share, 0.1) <= 0.1


@pytest.mark.parametrize(
    ("assigned", "wrong", "outside"),
    [(0.7, 0.05, 0.0), (0.7, 0.0, 0.1474), (0.7, 0.02, 0.0884), (0.3, 0.01, 0.0505)],
)
def test_a_precision_at_the_target_is_certified_with_the_stated_probability(
    assigned, wrong, outside
):
    """Exactly at the target, 95 % at a fifth out of scope, over all that could be observed."""
    share, target, delta, n_in, n_out = 0.2, 0.95, 0.1, 80, 40
    truth = (1 - wrong) / (1 + share / (1 - share) * outside / assigned)
    assert truth == pytest.approx(target, abs=2e-4)
    certified = 0.0
    for m in range(20, n_in + 1):
        weight = stats.binom.pmf(m, n_in, assigned)
        if weight < 1e-5:
            continue
        for w in range(4):
            for o in range(8):
                found = Counts(n_in, n_out, m - w, w, o)
                if p_value(found, target, share, delta) <= delta:
                    certified += (
                        weight * stats.binom.pmf(w, m, wrong) * stats.binom.pmf(o, n_out, outside)
                    )
    assert certified <= delta


def test_the_bound_at_share_0_is_that_of_clopper_and_pearson():
    found = Counts(42, 0, 40, 2, 0)
    assert lower_bound(found, 0.0, 0.05) == pytest.approx(stats.beta.ppf(0.05, 40, 3), abs=1e-4)


def test_without_requests_out_of_scope_nothing_is_known_of_them():
    assert p_value(Counts(100, 0, 100, 0, 0), 0.5, 0.2, 0.1) == 1.0
    assert p_value(Counts(100, 0, 100, 0, 0), 0.95, 0.0, 0.1) == pytest.approx(0.95**100)


def test_the_estimate_weighs_both_samples_by_the_share():
    found = Counts(n_in=100, n_out=50, right=60, wrong=4, out_of_scope=5)
    assert found.precision(0.0) == 60 / 64
    assert found.precision(0.2) == pytest.approx(0.8 * 0.6 / (0.8 * 0.64 + 0.2 * 0.1))
    assert Counts(100, 50, 0, 0, 0).precision(0.2) is None
    assert np.isclose(found.precision(0.5) or 0, 0.6 / 0.74)
