"""P(some agent fits): sources, thresholds, and the regression beneath."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from task_delegator.calibration.logistic import fit_logistic
from task_delegator.calibration.observe import Observed
from task_delegator.calibration.scope import fit_scope
from task_delegator.decision import above_floor, at_even_odds, decide, in_scope_probability
from task_delegator.delegation import Candidate, Features, Signals
from task_delegator.knobs import KnobValues, Thresholds

DRAW = np.random.default_rng(0)


def rows(number: int, closeness: float, agents: int = 10) -> list[Observed]:
    """Return observations whose description cosines lie around a value."""
    values = DRAW.normal(closeness, 0.1, number).tolist()
    return [
        Observed(f"agent {i % agents}", Signals(description=v), Features(margin=2.0), right=True)
        for i, v in enumerate(values)
    ]


def sure(features: Features) -> float:
    return 1.0


INSIDE, NEAR, FAR = rows(200, 0.6), rows(200, 0.4), rows(40, 0.0)
FAR = [replace(row, agent="") for row in FAR]


def fitted(near: list[Observed], far: list[Observed], share: float = 0.1) -> KnobValues:
    return KnobValues().replaced(fit_scope(INSIDE, near, far, sure, share).knobs)


def mean(found: list[Observed], knobs: KnobValues) -> float:
    return float(np.mean([in_scope_probability(r.signals, r.features, knobs) for r in found]))


@pytest.mark.parametrize("balanced", [False, True])
def test_the_regression_is_scikit_learns(balanced):
    table = np.array([[r.signals.description, 3.0 * i] for i, r in enumerate([*INSIDE, *NEAR])])
    labels = np.arange(400) < 200
    weights = np.where(labels, 1.0, 0.3) if balanced else np.ones(400)
    spread = table.std(axis=0)
    known = LogisticRegression(C=1.0, tol=1e-8).fit(table / spread, labels, sample_weight=weights)
    bias, found = fit_logistic(table, labels, weights)
    assert bias == pytest.approx(known.intercept_[0], rel=1e-3)
    assert found == pytest.approx(known.coef_[0] / spread, rel=1e-3)


def test_requests_without_their_agent_and_strangers_both_count():
    near, both, far = fitted(NEAR, []), fitted(NEAR, FAR), fitted([], FAR)
    for knobs in (near, both, far):
        assert mean(FAR, knobs) < mean(NEAR, knobs) < mean(INSIDE, knobs)
    assert mean(NEAR, both) < mean(NEAR, far)


def test_a_larger_share_of_strangers_makes_less_sure():
    rare, often = fitted(NEAR, FAR, share=0.05), fitted(NEAR, FAR, share=0.3)
    assert (rare.scope.share, often.scope.share) == (0.05, 0.3)
    assert mean(INSIDE, often) < mean(INSIDE, rare)


def test_few_requests_without_their_agent_are_sure_enough_to_assign():
    knobs = fitted(NEAR, FAR).replaced({"confidence.assign_threshold": 0.0})

    def assigned(found: list[Observed]) -> float:
        fits = [in_scope_probability(r.signals, r.features, knobs) for r in found]
        candidates = [Candidate("a", 0.9), Candidate("b", 0.1)]
        decisions = [decide(candidates, p, p, knobs.thresholds())[0] for p in fits]
        return decisions.count("assign") / len(found)

    assert assigned(NEAR) < 0.1
    assert assigned(INSIDE) > 0.6


def test_one_source_alone_has_a_quarter_of_the_share():
    assert fitted(NEAR, [], share=0.1).scope.share == pytest.approx(0.025)


def balanced_bias(far: list[Observed]) -> float:
    """Return the bias of the regression beside those requests, without their share."""
    scope = fitted(NEAR, far).scope
    assert scope.share is not None
    return scope.in_scope.bias - float(np.log((1 - scope.share) / scope.share))


def test_few_strangers_change_little():
    """The more there are, the more they say; twenty say as much as any number."""
    none, one, ten, twenty = (fitted(NEAR, FAR[:n]).scope for n in (0, 1, 10, 20))
    assert [none.share, one.share] == pytest.approx([0.025, 0.02875])
    assert [ten.share, twenty.share] == pytest.approx([0.0625, 0.1])
    moved = [balanced_bias(FAR[:n]) - balanced_bias([]) for n in (1, 10, 20)]
    assert abs(moved[0]) < abs(moved[2]) / 4 < abs(moved[1]) < abs(moved[2])
    like_one_for_somebody = replace(INSIDE[0], agent="")
    floors = [
        fitted(NEAR, far).scope.even_odds_floor or 0.0 for far in ([like_one_for_somebody], [])
    ]
    assert 0.0 < floors[0] <= floors[1]
    assert mean(INSIDE, fitted(NEAR, FAR[:1])) > mean(INSIDE, fitted(NEAR, FAR[:10]))


@pytest.mark.parametrize("far", [FAR[:20], FAR])
def test_enough_strangers_count_as_much_as_requests_without_their_agents(far):
    scope = fitted(NEAR, far).scope
    assert scope.share == 0.1
    twice = fitted(NEAR, [*far, *far]).scope
    ends = [(f.bias, f.bias + f.description) for f in (scope.in_scope, twice.in_scope)]
    assert ends[0] == pytest.approx(ends[1], rel=0.1)  # the ridge has another spread


@given(st.floats(0.001, 1.0), st.floats(0.01, 0.6))
def test_even_odds_are_those_of_bayes(fits, share):
    """The odds that some agent fits, without those that the share gives before a task is seen."""
    odds = fits / max(1 - fits, 1e-300) / ((1 - share) / share)
    even = 0.9 * (1.0 if fits == 1 else odds / (1 + odds))
    assert at_even_odds(0.9 * fits, fits, share) == pytest.approx(even)
    assert at_even_odds(np.array([0.9 * fits]), np.array([fits]), share) == pytest.approx([even])
    assert above_floor(0.9 * fits, fits, Thresholds(0.0, None, even - 1e-6, share))
    assert not above_floor(0.9 * fits, fits, Thresholds(0.0, None, even + 1e-6, share))


@pytest.mark.parametrize("share", [None, 0.0, 1.0])
def test_a_confidence_of_no_share_stays_as_it_is(share):
    assert at_even_odds(0.7, 0.0, share) == 0.7
    assert not above_floor(0.7, 0.5, Thresholds(0.0, None, 0.8, share))
    assert above_floor(np.zeros(3), np.full(3, 0.5), Thresholds(0.9, None, None, share)).all()


def test_the_floor_of_a_program_of_before_is_one_of_the_confidence_as_it_is():
    knobs = KnobValues().replaced({"scope.assign_floor": 0.95, "confidence.assign_threshold": 0.9})
    assert knobs.thresholds() == Thresholds(0.95, None)
    assert knobs.replaced({"confidence.assign_threshold": None}).thresholds().assign is None


def test_nobody_fits_is_said_only_where_it_is_likelier_than_not():
    threshold = fitted(NEAR, FAR).scope.threshold
    assert threshold is not None
    assert threshold <= 0.5


def test_without_an_example_of_what_nobody_serves_nothing_is_rejected():
    knobs = fitted([], [])
    assert (knobs.scope.threshold, knobs.scope.share, knobs.scope.even_odds_floor) == (None,) * 3
