import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.evaluation import metrics
from task_delegator.decision import Counts

outcomes = st.lists(st.booleans(), min_size=1, max_size=60).map(lambda v: np.array(v, dtype=bool))


def test_wilson_matches_published_figures():
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    assert metrics.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert metrics.wilson(0, 0) == (0.0, 1.0)


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_holds_the_rate(right, wrong):
    low, high = metrics.wilson(right, right + wrong)
    rate = right / (right + wrong)
    assert 0 <= low <= rate + 1e-12
    assert rate - 1e-12 <= high <= 1


def test_ece_of_a_known_case():
    confidences = np.array([0.9, 0.9, 0.1, 0.1])
    right = np.array([True, False, False, False])
    assert metrics.expected_calibration_error(confidences, right, bins=2) == pytest.approx(0.25)


@given(outcomes)
def test_certainty_that_is_right_has_no_calibration_error(right):
    assert metrics.expected_calibration_error(right.astype(float), right) == 0
    assert metrics.brier(right.astype(float), right) == 0


def test_a_calibrated_model_lies_in_the_simulated_range_most_of_the_time():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.2, 1.0, 280)
    low, high = metrics.calibrated_ece_range(confidences)
    eces = [
        metrics.expected_calibration_error(confidences, rng.random(280) < confidences)
        for _ in range(200)
    ]
    assert np.mean([low <= ece <= high for ece in eces]) > 0.88
    overconfident = metrics.expected_calibration_error(confidences, rng.random(280) < 0.4)
    assert overconfident > high


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_in_order(rows):
    scores = np.array([score for score, _ in rows])
    positive = np.array([label for _, label in rows])
    pairs = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for p in scores[positive]
        for q in scores[~positive]
    ]
    expected = np.mean(pairs) if pairs else None
    assert metrics.auroc(scores, positive) == (
        None if expected is None else pytest.approx(expected)
    )


def test_accuracy_at_coverage_looks_at_the_surest():
    confidences = np.array([0.9, 0.8, 0.2, 0.1])
    right = np.array([True, True, False, True])
    assert metrics.accuracy_at_coverage(confidences, right, 0.5) == 1.0
    assert metrics.accuracy_at_coverage(confidences, right, 1.0) == 0.75


def test_ranks_make_a_reciprocal_mean():
    assert metrics.mean_reciprocal_rank([1, 2, None]) == pytest.approx(0.5)


def test_mcnemar_is_the_exact_binomial():
    ours = np.array([True] * 9 + [False])
    theirs = np.array([False] * 9 + [True])
    assert metrics.mcnemar(ours, theirs) == pytest.approx(22 / 1024)
    assert metrics.mcnemar(ours, ours) == 1.0


@given(outcomes)
def test_a_system_is_not_better_than_itself(right):
    comparison = metrics.compare(right, right)
    assert comparison.difference == 0
    assert comparison.ci95 == (0.0, 0.0)
    assert (comparison.wins, comparison.losses, comparison.p) == (0, 0, 1.0)


def test_a_difference_has_a_paired_interval():
    ours, theirs = np.ones(100, dtype=bool), np.array([True] * 80 + [False] * 20)
    comparison = metrics.compare(ours, theirs)
    assert comparison.difference == pytest.approx(0.2)
    assert 0.1 < comparison.ci95[0] < 0.2 < comparison.ci95[1] < 0.3
    assert comparison.p < 0.001


@given(outcomes, st.integers(0, 5))
def test_a_bootstrap_draws_as_many_from_each_stratum_as_it_holds(right, seed):
    strata = np.flatnonzero(right), np.flatnonzero(~right)
    drawn = metrics.bootstrap(lambda i: float(right[i].sum()), strata, draws=5, seed=seed)
    assert drawn.tolist() == [right.sum()] * 5


def test_bootstrapped_sums_draw_as_many_from_each_stratum_and_spread_as_drawn_ones_do():
    rng = np.random.default_rng(1)
    strata = [np.arange(150), np.arange(150, 200)]
    values = np.stack([np.arange(200) < 150, np.arange(200) >= 150, rng.random(200)], axis=1)
    sums = metrics.bootstrap_sums(values, strata, draws=4000)
    assert sums.shape == (4000, 3)
    assert (sums[:, :2] == [150, 50]).all()
    drawn = metrics.bootstrap(lambda i: float(values[i, 2].sum()), strata, draws=4000)
    assert sums[:, 2].mean() == pytest.approx(drawn.mean(), abs=0.5)
    assert sums[:, 2].std() == pytest.approx(drawn.std(), rel=0.1)


def test_a_bootstrap_leaves_out_draws_that_say_nothing():
    positive = np.array([True, False])
    pairs = metrics.bootstrap(
        lambda i: metrics.auroc(np.array([1.0, 0.0])[i], positive[i]), [np.arange(2)], draws=100
    )
    assert 20 < len(pairs) < 80  # half of the draws hold one class only
    assert set(pairs) == {1.0}


def test_the_mean_has_the_interval_that_its_normal_approximation_has():
    values = np.random.default_rng(3).normal(size=400)
    half = 1.96 * values.std() / 20
    interval = metrics.bootstrap_mean(values)
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert metrics.bootstrap_mean(np.array([])) == (0.0, 0.0)


def test_the_worst_ranking_has_an_auroc_of_nothing_and_one_class_has_none():
    scores, positive = np.arange(6.0), np.arange(6) < 3
    assert metrics.auroc(scores, positive) == 0.0
    assert metrics.bootstrap_auroc(scores, positive) == (0.0, 0.0)
    assert metrics.bootstrap_auroc(scores, np.ones(6, dtype=bool)) is None


@pytest.mark.parametrize("right", [0, 3, 15])
def test_the_precision_at_a_share_lies_in_its_interval(right):
    counts = Counts(n_in=45, n_out=12, right=right, wrong=15 - right, out_of_scope=0)
    low, high = metrics.precision_at_share(counts, 0.2) or (1.0, 0.0)
    assert low <= (counts.precision(0.2) or 0.0) <= high
    assert high - low > 0.1
