import gc
from random import Random
from weakref import ref

import numpy as np
import pytest
from faults import wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import HashedWords, make_agent, only

from task_delegator.knobs import KnobValues
from task_delegator.registry.agents import Agent, Registry
from task_delegator.retrieval.channels import CHANNELS, Channels
from task_delegator.retrieval.fusion import fuse, softmax
from task_delegator.retrieval.index import Index
from task_delegator.retrieval.index_cache import IndexCache
from task_delegator.retrieval.largest_scores import largest
from task_delegator.retrieval.linear_head import ShrinkageLDA, SoftmaxRegression
from task_delegator.retrieval.retrieve import Retrieve
from task_delegator.retrieval.standardize import standardize

NAMES = ("Refunds", "Invoices", "Payroll", "Travel", "Events", "Ada")
share = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def ranked(registry, task, knobs=None, permissions=None):
    found = Retrieve(IndexCache(registry, HashedWords()))(
        task=task, knobs=knobs or KnobValues().replaced({"retrieval.k": 6}), permissions=permissions
    )
    return [(c.name, c.probability) for c in found.candidates]


@share
@given(
    st.permutations(NAMES), st.sampled_from(["refund my invoice", "hotel", "salary?", "ß ü 你好"])
)
def test_the_order_of_registration_never_matters(office, order, task):
    shuffled = Registry([office[name] for name in order])
    assert ranked(shuffled, task) == ranked(office, task)


def test_probabilities_are_a_distribution(office):
    assert sum(p for _, p in ranked(office, "refund")) == pytest.approx(1.0)


@share
@given(
    st.sampled_from(["my salary is late", "refund", "hotel or salary?"]),
    st.sets(st.sampled_from(["hr.pay", "other"])),
)
def test_a_hidden_agent_changes_nothing_not_even_a_probability(office, task, permissions):
    """As if it were not registered: no word count, mean or weight depends on it."""
    without = Registry(agent for agent in office if agent.permits(permissions))
    assert ranked(office, task, permissions=permissions) == ranked(without, task)
    assert ("Payroll" in dict(ranked(office, task, permissions=permissions))) == (
        "hr.pay" in permissions
    )


def test_callers_of_the_same_agents_share_an_index_that_follows_changes(office):
    library = IndexCache(office, HashedWords())
    everything = library.index({})
    assert library.permitted({}, ["hr.pay"]) is everything
    assert library.permitted({}, []) is not everything
    office.remove("Ada")
    assert library.index({}).names == tuple(n for n in everything.names if n != "Ada")


def test_indexes_of_callers_that_came_last_are_kept_within_a_bound(office, monkeypatch):
    library = IndexCache(office, HashedWords())
    held = [library.permitted({"Travel": (f"a ferry {n}",)}, []) for n in range(6)]
    sizes = [index.nbytes for index in held if index is not None]
    monkeypatch.setattr("task_delegator.retrieval.index_cache._BYTES", 3 * max(sizes))
    library.permitted({"Travel": ("a ferry",)}, [])
    assert 2 <= len(library._seen) <= 3
    assert ({("Travel", ("a ferry",))}, frozenset()) in [(set(a), b) for a, b in library._seen]


def test_callers_without_number_are_not_remembered_for_ever(office, monkeypatch):
    monkeypatch.setattr("task_delegator.retrieval.index_cache._CALLERS", 5)
    library = IndexCache(office, HashedWords())
    indexes = {id(library.permitted({}, [f"person {n}"])) for n in range(20)}
    assert len(indexes) == 1
    assert len(library._seen) == 5


def test_few_states_of_long_ago_are_held(office, monkeypatch):
    monkeypatch.setattr("task_delegator.retrieval.index_cache._STALE", 3)
    library = IndexCache(office, HashedWords())
    for n in range(20):
        office.replace(make_agent("Travel", f"books {n} ferries", "a ferry"))
        library.permitted({}, [f"person {n}"])
    assert len(library._seen) == 3 + 2


def test_an_index_that_nobody_uses_is_gone_at_once(office):
    """It holds no reference to itself: arrays would stay until a collection."""
    library = IndexCache(office, HashedWords())
    Retrieve(library)(task="refund", knobs=KnobValues())
    gone = ref(library.index({}))
    gc.disable()
    try:
        for n in range(2):
            office.replace(make_agent("Travel", f"books {n} ferries", "a ferry"))
            library.index({}).wait()  # a head that is being fitted has its index
        assert wait_until(lambda: gone() is None)  # the thread that fitted holds it until it ends
    finally:
        gc.enable()


def test_with_nobody_permitted_there_are_no_candidates():
    registry = Registry([make_agent("Secret", "all", needs=("x",))])
    assert ranked(registry, "refund", permissions=()) == []


def test_an_index_that_followed_changes_equals_a_new_one(office):
    library = IndexCache(office, HashedWords())
    retrieve = Retrieve(library)
    knobs = KnobValues().replaced({"retrieval.k": 6})
    retrieve(task="warm up", knobs=knobs)
    office.remove("Ada")
    office.add(make_agent("Garden", "plants trees", "water the plants"))
    office.replace(make_agent("Travel", "books only ferries", "a ferry to Malta"))
    followed = retrieve(task="water the ferry", knobs=knobs)
    fresh = Retrieve(IndexCache(office, HashedWords()))(task="water the ferry", knobs=knobs)
    assert followed.candidates == fresh.candidates


def test_an_agent_without_samples_is_not_beaten_for_lacking_them(office):
    assert ranked(office, "invites to fairs and webinars")[0][0] == "Events"


@pytest.mark.slow
def test_a_few_agents_with_samples_do_not_drown_those_without():
    """Samples on 20 of 200 agents, none of them right: the right one still wins."""
    random = Random(1)
    words = [f"word{i}" for i in range(400)]
    agents = []
    for i in range(200):
        description = " ".join(random.sample(words, 12))
        samples = tuple(" ".join(random.sample(words, 5)) for _ in range(3)) if i < 20 else ()
        agents.append(Agent(name=f"a{i}", description=description, user_request_samples=samples))
    registry = Registry(agents)
    picked = random.sample(range(20, 200), 20)
    hits = 0
    for i in picked:
        task = " ".join(agents[i].description.split()[:6])
        hits += ranked(registry, task)[0][0] == f"a{i}"
    assert hits >= 19


def test_ties_break_by_name():
    twins = Registry([Agent(name=name, description="the same") for name in ("b", "a", "c")])
    words_only = only("bm25", knobs={"retrieval.k": 3})
    assert [name for name, _ in ranked(twins, "the same", words_only)] == ["a", "b", "c"]


@pytest.mark.parametrize(("one_in", "compared"), [(50, 16), (2, 20), (1, 30)])
def test_a_larger_registry_has_more_agents_compared_token_by_token(monkeypatch, one_in, compared):
    monkeypatch.setattr("task_delegator.retrieval.fusion._COMPARED_ONE_IN", one_in)
    monkeypatch.setattr("task_delegator.retrieval.fusion._COMPARED_MOST", 30)
    registry = Registry([make_agent(f"a{n:02}", f"does work {n}") for n in range(40)])
    asked = []
    late = Index.late

    def spy(self, task, rows, samples):
        asked.append(len(rows))
        return late(self, task, rows, samples)

    monkeypatch.setattr(Index, "late", spy)
    ranked(registry, "do work 7")
    assert asked == [compared]


@pytest.mark.parametrize("few", [0, 200])
@given(scores=st.lists(st.integers(-3, 3), min_size=1, max_size=30), number=st.integers(0, 40))
def test_the_largest_are_the_head_of_a_stable_sort(few, scores, number):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("task_delegator.retrieval.largest_scores._FEW", few)
        found = largest(np.array(scores, dtype=float), number)
    assert found.tolist() == sorted(range(len(scores)), key=lambda i: -scores[i])[:number]


@pytest.mark.parametrize("number", [101, 1000, 1001, 2345])
@pytest.mark.parametrize("holders", [0, 30, 100, 101, 2345])
def test_scores_are_standardized_over_the_best_hundred(number, holders):
    """Many are equal, as of words that few agents share with the task."""
    rng = np.random.default_rng(number + holders)
    raw = np.where(np.arange(number) < holders, rng.gamma(2, size=(6, number)), 0.0)
    raw = rng.permuted(raw, axis=1)
    found = standardize(Channels(**dict(zip(CHANNELS[:6], raw, strict=True))))
    for scores, z_scores in zip(raw, found.values(), strict=True):
        best = np.sort(scores)[-100:]
        expected = (scores - best.mean()) / (best.std() or np.inf)
        np.testing.assert_allclose(z_scores, expected, atol=1e-9)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_softmax_is_a_distribution_that_keeps_the_order(scores):
    probabilities = softmax(np.array(scores))
    assert probabilities.sum() == pytest.approx(1.0)
    best, worst = int(np.argmax(scores)), int(np.argmin(scores))
    assert probabilities[best] >= probabilities[worst]


@given(st.floats(0.1, 10.0), st.integers(0, 5))
def test_fusion_ignores_a_common_scale_of_the_weights(scale, seed):
    rng = np.random.default_rng(seed)
    z_scores = {channel: rng.normal(size=8) for channel in CHANNELS}
    knobs = KnobValues()
    scaled = knobs.replaced({f"retrieval.{c}": knobs.retrieval.weight(c) * scale for c in CHANNELS})
    left, right = fuse(z_scores, knobs), fuse(z_scores, scaled)
    assert left * scale == pytest.approx(right)


def test_each_channel_alone_finds_an_obvious_agent(office):
    for channel in CHANNELS:
        knobs = only(channel, knobs={"retrieval.k": 6})
        task = "books trains and hotels, book a train, hotel in Porto"
        assert ranked(office, task, knobs)[0][0] == "Travel", channel


def test_missing_channels_fall_back_to_the_description():
    registry = Registry(
        [Agent(name="x", description="one thing"), Agent(name="y", description="two")]
    )
    index = Index(registry, HashedWords())
    channels = index.channels(index.read("one"), 1.5, 0.75, 10.0)
    z_scores = standardize(channels)
    assert np.isnan(channels.head).all()
    for channel in ("sample_best", "sample_mean", "head"):
        assert z_scores[channel] == pytest.approx(z_scores["description"])


def test_a_registry_of_stop_words_is_still_searched():
    registry = Registry(
        [Agent(name="the", description="of and"), Agent(name="a", description="to")]
    )
    assert len(ranked(registry, "the of")) == 2


@pytest.mark.parametrize("head", [lambda x, y: SoftmaxRegression(x, y, 10.0), ShrinkageLDA])
def test_heads_learn_separable_classes(head):
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(16, 16)))[0][:5]
    owners = np.repeat(np.arange(5), 6)
    vectors = centres[owners] + 0.1 * rng.normal(size=(30, 16))
    model = head(vectors, owners)
    assert [int(np.argmax(model(centre))) for centre in centres] == list(range(5))


def test_two_classes_make_a_head():
    model = SoftmaxRegression(np.eye(2), np.array([0, 1]), 10.0)
    assert int(np.argmax(model(np.array([0.0, 1.0])))) == 1
    assert int(np.argmax(model(np.array([1.0, 0.0])))) == 0


@given(st.integers(0, 10_000), st.integers(1, 3000))
def test_agents_that_share_nothing_with_the_task_do_not_change_how_the_others_stand(seed, more):
    rng = np.random.default_rng(seed)
    best = rng.uniform(1.0, 2.0, size=(6, 120))
    poor = rng.uniform(-1.0, 0.0, size=(6, more))
    small, large = standardize(Channels(*best)), standardize(Channels(*np.hstack([best, poor])))
    for channel, z_scores in small.items():
        assert large[channel][:120] == pytest.approx(z_scores)
