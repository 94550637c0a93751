"""Agents whose columns are taken out are as good as not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import HashedWords, office_registry, only

from task_delegator.knobs import KnobValues
from task_delegator.registry.agents import Registry
from task_delegator.retrieval.fusion import score
from task_delegator.retrieval.index import Index
from task_delegator.retrieval.index_cache import IndexCache
from task_delegator.retrieval.retrieve import Retrieve
from task_delegator.retrieval.without import without

AGENTS = list(office_registry())
NAMES = [agent.name for agent in AGENTS]
INDEX = Index(AGENTS, HashedWords())
# Whose scores depend on no other agent.
OWN = only("description", "sample_best", "sample_mean")
tasks = st.sampled_from(["money back please", "book a hotel", "my salary is late", "hello"])


@given(tasks, st.sets(st.sampled_from(NAMES), max_size=5))
def test_columns_without_agents_are_those_of_an_index_built_without_them(task, hidden):
    rest = Index([agent for agent in AGENTS if agent.name not in hidden], HashedWords())
    query = INDEX.read(task)
    left, seen = without(INDEX, query, score(INDEX, query, OWN), hidden, OWN)
    built, known = without(rest, query, score(rest, query, OWN), (), OWN)
    assert {c.name: pytest.approx(c.probability, rel=1e-4) for c in built} == {
        c.name: c.probability for c in left
    }
    assert (seen.description, seen.sample) == pytest.approx(
        (known.description, known.sample), abs=1e-6
    )
    assert not hidden & {candidate.name for candidate in left}


@given(tasks)
def test_without_hiding_anybody_retrieval_is_what_it_is(task):
    knobs = KnobValues()
    found = Retrieve(IndexCache(Registry(AGENTS), HashedWords()))(task=task, knobs=knobs)
    query = INDEX.read(task)
    candidates, signals = without(INDEX, query, score(INDEX, query, knobs), (), knobs)
    assert candidates == found.candidates[:3]
    assert signals == found.signals


def test_nobody_is_left_where_all_are_hidden():
    query = INDEX.read("money back")
    assert without(INDEX, query, score(INDEX, query, OWN), NAMES, OWN)[0] == ()
