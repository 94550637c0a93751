"""Whether a candidate shall replace a champion: what it assigns counts, not its ranking alone."""

from dataclasses import replace

import numpy as np
import pytest
from small import make_agent

from optimize.data import Request
from optimize.evaluation import Outcome, compare_losses, judge
from optimize.evaluation.compare import compare_outcomes
from task_delegator.delegation import Candidate, Decision, Delegation, Evidence
from task_delegator.knobs import KnobValues
from task_delegator.registry.agents import Registry

N, FAR = 200, 60


def answer(first="right", decision: Decision = "assign", confidence=0.9, fits=0.95) -> Delegation:
    return Delegation(
        task="t",
        decision=decision,
        agent=first,
        top3=(Candidate(first, 1.0),),
        confidence=confidence,
        reason="",
        evidence=Evidence(
            ranking=(first,), correct_score=confidence, in_scope_score=fits, calibrated=True
        ),
    )


def answers(wrong=10, assigned=100, far=0, wrong_assigned=0, confidence=0.9):
    """Return outcomes and delegations out of scope.

    Args:
        wrong: requests in scope whose first agent is wrong, the last ones.
        assigned: those that are assigned to the right agent, the first ones.
        wrong_assigned: of the wrong ones.
        far: assigned out of scope.
        confidence: in each.
    """
    request, found = Request("t", ("right",)), []
    for place in range(N):
        first = "wrong" if place >= N - wrong else "right"
        sent = place < assigned or place >= N - wrong_assigned
        given = answer(first, "assign" if sent else "review", confidence)
        found.append(Outcome(request, given))
    outside = [answer("wrong", "assign" if i < far else "review", confidence) for i in range(FAR)]
    return found, outside


@pytest.fixture
def verdict(dataset):
    dataset = replace(dataset, registry=Registry([make_agent("right"), make_agent("wrong")]))

    def of(candidate, champion):
        answered = [("candidate", candidate[0]), ("champion", champion[0])]
        outside = [candidate[1], champion[1]]
        found = compare_outcomes(answered, dataset, "test", outside=outside, out_of_scope_share=0.2)
        knobs = [KnobValues().replaced({"scope.share": 0.1})] * 2
        losses = compare_losses([candidate[0], champion[0]], outside, knobs)
        return judge(found, losses)

    return of


def test_two_programs_are_compared_by_what_they_assign(dataset):
    dataset = replace(dataset, registry=Registry([make_agent("right"), make_agent("wrong")]))
    one, other = answers(assigned=100, far=6), answers(assigned=0)
    named = [("a", one[0]), ("b", other[0])]
    found = compare_outcomes(
        named, dataset, "test", outside=[one[1], other[1]], out_of_scope_share=0.2
    )
    precision = 0.8 * 0.5 / (0.8 * 0.5 + 0.2 * 0.1)
    assert found.first.precision_at_share == pytest.approx(precision)
    assert (found.first.n_assigned, found.first.assigned_out_of_scope) == (100, 6)
    assert "assigned 50.0% (100 and 6 out of scope), precision 95.2% (" in found.sentence()
    assert "and 0.0% (0 and 0 out of scope) at 20% out of scope" in found.sentence()
    assert found.precision is None


def test_more_right_agents_win(verdict):
    assert verdict(answers(wrong=10), answers(wrong=30)).better
    assert not verdict(answers(wrong=30), answers(wrong=10)).better


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ({"assigned": 0}, "it assigns nothing here"),
        ({"wrong_assigned": 10}, "is right less often"),
        ({"far": 20}, "is right less often"),
        ({"assigned": 60}, "it assigns less: 30.0% for 50.0%"),
    ],
)
def test_more_right_agents_are_no_reason_to_assign_worse(verdict, candidate, reason):
    found = verdict(answers(wrong=10, **candidate), answers(wrong=30))
    assert not found.better
    assert reason in found.reason


def test_one_that_assigns_less_and_is_surely_right_more_often_may_win(verdict):
    careless = answers(wrong=30, assigned=150, wrong_assigned=30, far=40)
    assert verdict(answers(wrong=10, assigned=100), careless).better


@pytest.mark.parametrize(("wrong", "better"), [(10, True), (12, False)])
def test_no_fewer_right_agents_are_needed_where_the_champion_assigns_nothing(
    verdict, wrong, better
):
    assert verdict(answers(wrong=wrong), answers(wrong=10, assigned=0)).better is better


def test_of_two_that_rank_alike_the_better_calibrated_wins(verdict):
    honest, sure = answers(wrong=40, confidence=0.75), answers(wrong=40, confidence=0.99)
    assert "closer to what is so" in verdict(honest, sure).reason
    assert verdict(honest, sure).better
    assert not verdict(sure, honest).better
    assert not verdict(honest, honest).better


def test_of_two_that_rank_alike_the_one_that_assigns_more_wins(verdict):
    found = verdict(answers(assigned=140), answers(assigned=100))
    assert (found.better, "assigns more" in found.reason) == (True, True)


@pytest.mark.slow
def test_two_equal_programs_are_told_apart_once_in_twenty_times(verdict):
    """Both are right as often, and as sure; who is right about what is chance."""
    rng, better = np.random.default_rng(0), 0
    for _ in range(60):
        pair = []
        for _ in range(2):
            found = [
                Outcome(
                    Request("t", ("right",)),
                    answer("right" if rng.random() < 0.9 else "wrong", "assign"),
                )
                for _ in range(N)
            ]
            pair.append((found, answers()[1]))
        better += verdict(*pair).better
    assert better <= 5  # of 1.5 expected
