"""Agents with samples and agents without are put on one scale."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import HashedWords, make_agent

from task_delegator.retrieval.channels import AgentTexts, Channels
from task_delegator.retrieval.index import Index
from task_delegator.retrieval.standardize import standardize

SCORES = st.lists(st.floats(0, 1), min_size=6, max_size=6, unique=True)


def channels(described: list[float], sampled: np.ndarray, told: np.ndarray | None) -> Channels:
    """Return scores of six agents, of which those at the front have samples."""
    rows = np.array(described)
    samples = np.where(np.arange(6) < len(sampled), np.resize(sampled, 6), np.nan)
    return Channels(rows, rows, rows, samples, samples, samples, AgentTexts(described=told))


@given(SCORES, SCORES.map(lambda scores: np.array(scores[:4])))
def test_the_best_by_samples_counts_as_much_as_the_best_described_of_them(described, sampled):
    z = standardize(channels(described, sampled, None))
    for channel in ("sample_best", "sample_mean", "head"):
        assert z[channel][:4].max() == pytest.approx(z["description"][:4].max(), abs=1e-9)
        np.testing.assert_array_equal(z[channel][4:], z["description"][4:])
        assert z[channel][:4].argmax() == sampled.argmax()


def test_a_description_that_is_missing_is_no_measure_where_others_have_one():
    told = np.array([False, True, True, False, True, True])
    described, sampled = [0.0, 0.3, 0.4, 0.1, 0.5, 0.6], np.array([0.9, 0.5, 0.2, 0.1])
    z = standardize(channels(described, sampled, told))
    assert z["sample_best"][1:3].max() == pytest.approx(z["description"][1:3].max())
    assert z["sample_best"][0] > z["sample_best"][1:].max()
    nobody = standardize(channels(described, sampled, np.zeros(6, dtype=bool)))
    assert nobody["sample_best"][0] == pytest.approx(nobody["description"][:4].max())


def test_with_few_samples_the_description_is_heard_in_their_place_in_part():
    described = [0.9, 0.1, 0.2, 0.3, 0.4, 0.5]
    sampled = np.array(described[::-1])
    alone = standardize(channels(described, sampled, None))
    few = standardize(
        replace(channels(described, sampled, None), texts=AgentTexts(trust=np.full(6, 0.6)))
    )
    mixed = 0.6 * alone["sample_best"] + 0.4 * alone["description"]
    assert few["sample_best"] == pytest.approx((mixed - mixed.mean()) / mixed.std())
    assert few["description"] == pytest.approx(alone["description"])


@pytest.mark.parametrize(
    ("description", "samples", "trust"),
    [
        ("does things", (1, 2, 3, 9), [0.2, 0.4, 0.6, 1.0]),
        ("", (1, 2, 3, 9), [0.6, 0.8, 0.9, 1.0]),
        ("does things", (5, 6, 0, 7), None),
    ],
)
def test_samples_weigh_the_more_the_more_there_are(description, samples, trust):
    agents = [
        make_agent(f"Agent {n}", description, *(f"{n} {i}" for i in range(number)))
        for n, number in enumerate(samples)
    ]
    found = Index(agents, HashedWords()).texts.trust
    assert found is None if trust is None else found == pytest.approx(trust)
