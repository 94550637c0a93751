from contextlib import contextmanager

import numpy as np
import pytest
from small import CountingWords, HashedWords, make_agent

from optimize.data import Request
from optimize.search import ScoredRequests, fit_weights
from optimize.search.retrieval import search
from task_delegator.knobs import KnobValues
from task_delegator.registry import Registry
from task_delegator.retrieval import IndexCache, Retrieve, fusion
from task_delegator.retrieval import passages as module
from task_delegator.retrieval.index import Index
from task_delegator.retrieval.passages import read_passages

OFF = KnobValues().replaced({"retrieval.passages": 0})
ALL = KnobValues().replaced({"retrieval.passages_beside_samples": True})
TASK = "the espresso machine needs descaling"


def told(agent, instructions):
    return agent.model_copy(update={"instructions": instructions})


def kitchen(office) -> Registry:
    """The office; of two agents the instructions say what their descriptions do not."""
    office.replace(told(office["Events"], "Descale the espresso machine before every fair."))
    office.replace(told(office["Travel"], "Never book the espresso machine a hotel room."))
    return office


def found(registry, knobs, task=TASK, permissions=None):
    retrieve = Retrieve(IndexCache(registry, HashedWords()))
    ranked = retrieve(task=task, knobs=knobs, permissions=permissions).candidates
    return {candidate.name: candidate.probability for candidate in ranked}


def test_an_agent_without_samples_is_found_by_its_instructions(office):
    registry = kitchen(office)
    off, on = found(registry, OFF), found(registry, KnobValues())
    assert next(iter(on)) == "Events"
    assert on["Events"] > off["Events"]


@pytest.mark.parametrize("knobs", [OFF, KnobValues(), ALL])
def test_without_instructions_no_knob_changes_a_score(office, knobs):
    assert found(office, knobs) == found(office, OFF)
    index = Index(office, HashedWords())
    assert index.reading((4, True)) is index


def test_instructions_of_agents_with_samples_are_read_only_where_that_is_asked(office):
    office.replace(told(office["Travel"], "Never book the espresso machine a hotel room."))
    assert found(office, KnobValues()) == found(office, OFF)
    assert found(office, ALL)["Travel"] > found(office, OFF)["Travel"]


def test_passages_are_encoded_where_a_fork_need_not_wait(office, monkeypatch):
    index, inside = Index(kitchen(office), HashedWords()), []

    @contextmanager
    def no_fork():
        inside.append(index.reading)
        monkeypatch.setattr(index, "reading", None)
        yield
        monkeypatch.setattr(index, "reading", inside.pop())

    monkeypatch.setattr(fusion, "no_fork", no_fork)
    read = fusion.read_lexically(index, TASK, KnobValues())
    assert read.index.texts.passages is not None


def test_turned_off_instructions_change_nothing(office):
    plain = found(office, OFF)
    assert found(kitchen(office), OFF) == plain


def test_instructions_of_a_hidden_agent_change_nothing(office):
    office.replace(told(office["Payroll"], "Descale the espresso machine on pay day, always."))
    office.replace(office["Payroll"].model_copy(update={"user_request_samples": ()}))
    without = Registry(agent for agent in office if agent.name != "Payroll")
    permitted = found(office, KnobValues(), permissions=())
    assert permitted == found(without, KnobValues(), permissions=())


def test_a_change_of_the_registry_encodes_no_passage_again(office):
    registry, embed = kitchen(office), CountingWords()
    retrieve = Retrieve(IndexCache(registry, embed))
    retrieve(task=TASK, knobs=KnobValues())
    registry.add(make_agent("Parking", "hands out parking permits"))
    embed.texts.clear()
    retrieve(task=TASK, knobs=KnobValues())
    assert embed.texts == ["Parking. hands out parking permits", TASK]


def test_a_large_registry_keeps_fewer_passages_token_by_token_and_all_as_words(monkeypatch):
    monkeypatch.setattr(module, "_MOST_ENCODED", 12)
    text = " ".join(f"Sentence {i} says what is done with claims of a kind." for i in range(60))
    agents = [told(make_agent(f"Agent {i}"), text) for i in range(30)]
    few, many = read_passages(agents[:6], (4, False)), read_passages(agents, (4, False))
    assert few is not None
    assert many is not None
    assert {len(own) for own in few.encoded} == {2}
    assert {len(own) for own in many.encoded} == {1}
    assert {len(own) for own in (*few.texts, *many.texts)} == {4}


def test_what_is_read_is_fitted_and_searched_where_samples_are_missing(office):
    index = Index(kitchen(office), HashedWords())
    requests = [
        Request(text, (name,))
        for name, text in [("Events", TASK), ("Events", "descale the machine for the fair")] * 3
    ]
    scored = ScoredRequests(index, requests)
    assert scored.readings == ("none", "without samples", "all")
    fitted = fit_weights(scored, KnobValues())
    assert fitted.retrieval.passages == 4
    _, trials = search(scored, [OFF, fitted], trials=8, seed=0)
    assert {trial.knobs.retrieval.passages for trial in trials} == {0, 4}


def test_scored_requests_rank_as_the_program_does(office):
    index = Index(kitchen(office), HashedWords())
    scored = ScoredRequests(index, [Request(TASK, ("Events",))])
    for knobs in (OFF, KnobValues(), ALL, KnobValues().replaced({"retrieval.bm25_k1": 0.9})):
        knobs = knobs.replaced({"retrieval.k": 6})
        fused = scored.fused(knobs)[0] / knobs.retrieval.temperature
        shares = np.exp(fused - fused.max())
        expected = dict(zip(index.names, shares / shares.sum(), strict=True))
        assert found(office, knobs) == pytest.approx(expected)


def test_where_all_have_samples_the_search_draws_as_before(office):
    office.remove("Events")
    assert ScoredRequests(Index(office, HashedWords()), []).readings == ()


def test_an_index_that_reads_passages_takes_more_memory(office):
    index = Index(kitchen(office), HashedWords())
    before = index.nbytes
    index.reading((4, False))
    assert index.nbytes > before


def test_nothing_to_read_takes_no_memory(office):
    index = Index(office, HashedWords())
    before = index.nbytes
    index.reading((4, True))
    assert index.nbytes == before
