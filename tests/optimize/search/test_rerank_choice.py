"""What a reranker weighs is chosen on validation requests, and nothing where it adds nothing."""

import numpy as np
import pytest
from rerankers import Knowing
from small import HashedWords, office_registry

from optimize.data import Request
from optimize.search.rerank import choose_rerank
from optimize.search.retrieval import measure
from optimize.search.scored import ScoredRequests
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import Rerank


@pytest.fixture(scope="module")
def requests(dataset):
    return (*dataset.splits["train"], *dataset.splits["validation"])


@pytest.fixture(scope="module")
def scored(dataset, requests):
    return ScoredRequests(Delegator(dataset.registry).retrieve.library.index({}), requests)


@pytest.fixture(scope="module")
def start(scored):
    return measure(scored, KnobValues()).knobs


@pytest.mark.parametrize("spread", [1.0, 50.0])
def test_one_that_knows_has_a_weight_whatever_its_scale(scored, requests, start, spread):
    own = Knowing(requests, 4.0 * spread, spread)
    knobs, choice = choose_rerank(scored, Rerank(own), start)
    assert own.read == len(requests)
    assert choice.n == len(requests)
    assert choice.gain > 2 * choice.error
    assert choice.points >= 0
    assert 0.1 < choice.weight * spread < 5
    assert knobs.retrieval.rerank == choice.weight
    assert knobs.retrieval.rerank_below == choice.below
    assert 0 < choice.read <= 1
    assert choice.sentence().startswith("the reranker brings +")
    assert "\n" not in choice.sentence()


def test_the_program_then_finds_more(dataset, scored, requests, start):
    own = Rerank(Knowing(requests, 8.0))
    knobs, choice = choose_rerank(scored, own, start)
    reranking = Delegator(dataset.registry, reranker=Knowing(requests, 8.0))
    plain = Delegator(dataset.registry)
    plain.knobs.values, reranking.knobs.values = start, knobs
    right = [
        np.mean([program(r.text).top3[0].name in r.acceptable for r in requests])
        for program in (plain, reranking)
    ]
    assert right[1] > right[0]
    assert 100 * (right[1] - right[0]) == pytest.approx(choice.points, abs=3)


@pytest.mark.parametrize("ahead", [0.0, -2.0])
def test_one_that_knows_nothing_is_not_used(scored, requests, start, ahead):
    knobs, choice = choose_rerank(scored, Rerank(Knowing(requests, ahead)), start)
    assert knobs == start
    assert (choice.weight, choice.below, choice.read) == (0, None, 0)
    assert choice.sentence().startswith("the reranker is not used")


def test_one_that_says_the_same_of_every_agent_is_not_used(scored, requests, start):
    knobs, choice = choose_rerank(scored, Rerank(Knowing(requests, 0.0, 0.0)), start)
    assert knobs == start
    assert np.isfinite(choice.gain)


def test_sure_tasks_are_not_read_where_that_loses_little(scored, requests, start):
    _, choice = choose_rerank(scored, Rerank(Knowing(requests, 3.0)), start)
    assert choice.below is not None
    assert choice.read < 1


def test_the_choice_is_the_same_again(scored, requests, start):
    first, second = (
        choose_rerank(scored, Rerank(Knowing(requests, 3.0)), start, seed=1) for _ in range(2)
    )
    assert first == second


def test_fewer_agents_than_it_may_read_are_enough():
    made = Delegator(office_registry(), HashedWords())
    asked = [Request(s, (a.name,)) for a in made.registry for s in a.user_request_samples]
    few = ScoredRequests(made.retrieve.library.index({}), asked)
    _, choice = choose_rerank(few, Rerank(Knowing(asked, 5.0)), KnobValues())
    assert choice.n == len(asked)


@pytest.mark.parametrize("number", [1, 2, 9])
def test_one_whose_weight_is_0_leaves_the_posterior_as_it_is(number):
    made = Delegator(office_registry(), HashedWords())
    asked = [Request(s, (a.name,)) for a in made.registry for s in a.user_request_samples]
    few = ScoredRequests(made.retrieve.library.index({}), asked[:number])
    knobs, choice = choose_rerank(few, Rerank(Knowing(asked, -5.0, 0.0)), KnobValues())
    assert knobs == KnobValues()
    assert (choice.n, choice.weight, choice.below, choice.read) == (len(few.labels), 0, None, 0)
    assert np.isfinite([choice.points, choice.gain, choice.error]).all()
