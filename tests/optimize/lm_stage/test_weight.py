"""The weight of an LM in the pool: what it adds to the log-probability of a right agent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.lm_stage.weight import Curve, cross_validated_gains, fit_weight, gains

SURE, WRONG = (
    (np.array([0.5, 0.3, 0.2]), np.log([0.8, 0.1, 0.1]), np.array([first, not first, False]))
    for first in (True, False)
)


@st.composite
def curves(draw) -> list[Curve]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    made = []
    for agents in draw(st.lists(st.integers(1, 12), min_size=1, max_size=30)):
        shares, believed = rng.dirichlet(np.ones(agents), 2)
        right = np.arange(agents) == rng.integers(-1, agents)
        made.append((np.maximum(shares, 1e-9), np.log(np.maximum(believed, 1e-9)), right))
    return made


@given(curves(), st.floats(0, 3))
def test_what_a_weight_adds_is_the_log_of_the_right_agents_shares(curves, weight):
    for (posterior, belief, right), found in zip(curves, gains(curves, weight), strict=True):
        pooled = posterior * np.exp(weight * belief)
        shares = [max(own[right].sum() / own.sum(), 1e-12) for own in (pooled, posterior)]
        expected = np.log(shares[0]) - np.log(shares[1]) if right.any() else 0.0
        assert found == pytest.approx(expected, abs=1e-7)


@given(curves())
def test_the_weight_adds_more_than_others(curves):
    best = gains(curves, fit_weight(curves)).mean()
    assert all(gains(curves, other).mean() <= best + 1e-4 for other in np.linspace(0, 3, 13))


def test_an_lm_that_is_right_weighs_much_and_one_that_is_wrong_nothing():
    assert fit_weight([SURE] * 10) == pytest.approx(3, abs=1e-3)
    assert fit_weight([WRONG] * 10) == pytest.approx(0, abs=1e-3)
    assert fit_weight([]) == 0.0


def test_a_request_is_judged_at_a_weight_that_it_did_not_choose():
    alone = cross_validated_gains([WRONG, *[SURE] * 9], seed=0)
    assert alone[0] < 0 < alone[1:].min()
    assert len(cross_validated_gains([], seed=0)) == 0
