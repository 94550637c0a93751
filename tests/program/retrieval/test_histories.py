"""An index that followed changes answers as one that is built anew of the same agents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from indexes import TASKS, assert_same, scores
from small import HashedWords, make_agent

from task_delegator.registry import Agent, Registry
from task_delegator.retrieval import IndexCache, heads, index_cache, postings, rows
from task_delegator.retrieval.postings import ChosenDocuments

WORDS = ["refund", "order", "train", "hotel", "salary", "invoice", "angry", "Porto"]
NAMES = ["Ada", "Refund Desk", "Travel", "Payroll", "Invoices", "Zoe", "Refund Desks"]
said = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
agents = st.builds(
    Agent,
    name=st.sampled_from(NAMES),
    description=said,
    instructions=st.just("") | said.map(lambda text: f"{text} whenever somebody asks for it."),
    user_request_samples=st.lists(said, max_size=3).map(tuple),
    required_permissions=st.sampled_from([frozenset(), frozenset({"a"}), frozenset({"b"})]),
)
callers = st.sampled_from([None, ("a",), ("b",), ()])
steps = st.lists(st.tuples(agents, st.booleans(), st.none() | callers), max_size=12)
LEARNED = {"Travel": ("book me a sleeper",), "Zoe": ("who is there",)}


@pytest.fixture(params=["small parts", "as they are"])
def parts(request, monkeypatch):
    """Parts so small that a dozen agents fill, join and clear them."""
    if request.param == "small parts":
        monkeypatch.setattr(postings, "_MOST_APART", 2)
        monkeypatch.setattr(index_cache, "_UNUSED", 0)
        monkeypatch.setattr(rows, "_LEAST", 2)
        monkeypatch.setattr(rows, "_MOST", 3)
        monkeypatch.setattr(rows, "_OWN_BYTES", 0)
        monkeypatch.setattr(ChosenDocuments, "_SMALL", 0)


def changed(registry, agent, remove):
    if agent.name not in registry:
        registry.add(agent)
    elif remove and len(registry) > 1:
        registry.remove(agent.name)
    else:
        registry.replace(agent)


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("learned", [{}, LEARNED], ids=["alone", "learned"])
@settings(max_examples=25)
@given(steps)
def test_what_followed_a_history_answers_as_what_is_built_anew(learned, history):
    registry = Registry([make_agent("Ada", "angry customers", "a customer shouts")])
    library = IndexCache(registry, HashedWords())
    for agent, remove, caller in history:
        changed(registry, agent, remove)
        seen = library.permitted(learned, caller)
        assert_same(seen, [agent for agent in registry if agent.permits(caller)], learned)
    for caller in (None, ("a",), ()):
        seen = library.permitted(learned, caller)
        assert_same(seen, [agent for agent in registry if agent.permits(caller)], learned)


@pytest.mark.usefixtures("parts")
@settings(max_examples=12)
@given(steps)
def test_what_a_task_began_with_stays_as_it_is(history):
    registry = Registry([make_agent("Ada", "angry customers", "a customer shouts")])
    library = IndexCache(registry, HashedWords())
    began = []
    for agent, remove, _ in history:
        changed(registry, agent, remove)
        index = library.index({})
        began.append((index, list(registry), [scores(index, text) for text in TASKS]))
    for index, agents, before in began:
        assert set(index.names) == {agent.name for agent in agents}
        for text, then in zip(TASKS, before, strict=True):
            for name, own in scores(index, text).items():
                np.testing.assert_array_equal(own, then[name], err_msg=name)


def test_agents_that_are_gone_are_cleared_away_and_nothing_is_encoded_again(monkeypatch):
    monkeypatch.setattr(index_cache, "_UNUSED", 4)
    registry = Registry([make_agent(f"Agent {n}", f"does work {n}", f"do {n}") for n in range(6)])
    library = IndexCache(registry, HashedWords())
    for n in range(40):
        registry.replace(make_agent("Agent 0", f"does other work {n}", "do 0"))
        assert library.index({}).names == tuple(f"Agent {n}" for n in range(6))
        assert len(library._store) <= 4 + 2 * 6
    assert_same(library.index({}), registry, {})


def test_samples_of_an_agent_that_moved_are_still_near(monkeypatch):
    """Vectors of texts are those of the rows, wherever these stand now."""
    monkeypatch.setattr(index_cache, "_UNUSED", 0)
    registry = Registry([make_agent("Ada", "x", "angry train", "a salary"), make_agent("Bo", "y")])
    library = IndexCache(registry, HashedWords())
    for n in range(6):
        registry.replace(make_agent("Bo", f"y {n}"))
        index = library.index({})
        near = index.nearest_samples(index.read("my salary"), registry)
        assert near["Ada"] == ("a salary", "angry train")


def test_while_a_large_head_is_fitted_the_last_one_serves(office, monkeypatch):
    monkeypatch.setattr(heads, "_QUICK", 0)
    library = IndexCache(office, HashedWords())
    index = library.index({})
    vector = index.read("refund my order").encoded.vector
    before = dict(zip(index.names, index.head(vector, 1.0), strict=True))
    with heads._one_at_a_time:
        office.add(make_agent("Garden", "plants trees", "water the plants"))
        office.remove("Ada")
        later = library.index({})
        meanwhile = dict(zip(later.names, later.head(vector, 1.0), strict=True))
    assert np.isnan(meanwhile.pop("Garden"))
    assert meanwhile == pytest.approx({n: before[n] for n in meanwhile}, nan_ok=True)
    later.wait()
    assert_same(later, office, {})


def test_a_head_that_was_fitted_too_late_serves_until_the_next_is_there(office, monkeypatch):
    monkeypatch.setattr(heads, "_QUICK", 0)
    library = IndexCache(office, HashedWords())
    vector = library.index({}).read("refund my order").encoded.vector
    library.index({}).head(vector, 1.0)
    fit = heads.fit_head
    office.add(make_agent("Garden", "plants trees", "water the plants"))
    older, newer = library.index({}), []

    def fit_while_it_changes(*given):
        if not newer:
            office.add(make_agent("Hall", "hires out halls", "a hall for a fair"))
            newer.append(library.index({}))
        return fit(*given)

    monkeypatch.setattr(heads, "fit_head", fit_while_it_changes)
    older.head(vector, 1.0)
    older.wait()
    with heads._one_at_a_time:
        logits = dict(zip(newer[0].names, newer[0].head(vector, 1.0), strict=True))
    assert logits["Garden"] == pytest.approx(older.head(vector, 1.0)[older.names.index("Garden")])
    assert np.isnan(logits["Hall"])
    newer[0].wait()
    assert_same(newer[0], office, {})


def test_a_head_that_knew_an_agent_whom_the_caller_lost_does_not_serve(office, monkeypatch):
    monkeypatch.setattr(heads, "_QUICK", 0)
    library = IndexCache(office, HashedWords())
    index = library.permitted({}, [])
    assert index is not None
    index.head(index.read("refund").encoded.vector, 1.0)
    office.replace(office["Ada"].model_copy(update={"required_permissions": frozenset("x")}))
    assert_same(library.permitted({}, []), [a for a in office if a.permits([])], {})


def test_a_head_that_cannot_be_fitted_is_told_and_the_last_one_stays(office, monkeypatch, caplog):
    monkeypatch.setattr(heads, "_QUICK", 0)
    library = IndexCache(office, HashedWords())
    vector = library.index({}).read("refund").encoded.vector
    library.index({}).head(vector, 1.0)

    def fail(*_):
        raise ArithmeticError("did not move")

    monkeypatch.setattr(heads, "fit_head", fail)
    office.remove("Ada")
    index = library.index({})
    index.head(vector, 1.0)
    index.wait()
    assert "the last one stays" in caplog.text
    assert np.isfinite(index.head(vector, 1.0)[index.has_samples]).all()
