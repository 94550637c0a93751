"""The gate keeps to the share of tasks that the LM may be asked about."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optimize.lm_stage.gate import choose_gate


def test_at_most_one_sample_in_twenty_asks_about_more_than_the_share():
    rng = np.random.default_rng(0)
    for count, share in ((30, 0.4), (210, 0.4), (210, 0.1), (210, 0.8)):
        # Of certainties that are spread evenly, a gate asks about a share of its own size.
        gates = np.array([choose_gate(rng.random(count), share) for _ in range(2000)])
        assert (gates > share).mean() <= 0.06
        assert gates.mean() > share - 2.5 * np.sqrt(share * (1 - share) / count) - 1 / count


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
)
def test_a_greater_share_never_lowers_the_gate(certainties, one, two):
    lower, higher = (choose_gate(certainties, share) for share in sorted((one, two)))
    assert lower <= higher
    assert float(np.mean(np.array(certainties) < lower)) <= min(one, two)
    assert choose_gate(certainties, 1.0) == max(certainties)


def test_a_gate_is_no_certainty_of_a_request():
    """Read together, a request's certainty differs in the eighth digit: it was both asked and not."""
    certainties = np.random.default_rng(0).random(210)
    gate = choose_gate(certainties, 0.4)
    assert np.abs(certainties - gate).min() > 1e-6
    asked = (certainties < gate).sum()
    assert (certainties < gate + 1e-6).sum() == (certainties < gate - 1e-6).sum() == asked
