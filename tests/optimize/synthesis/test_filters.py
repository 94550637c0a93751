"""Filters: what is dropped of what an LM wrote, and why."""

import json
from collections import Counter

import pytest
from author import FRESH, field
from hypothesis import given
from hypothesis import strategies as st
from recorded import recorded_lm
from small import ROOT, HashedWords, make_agent, office_registry

from optimize.data.checks import leaks
from optimize.data.dataset import Dataset, Request
from optimize.lm_stage.response_cache import ResponseCache
from optimize.synthesis.filters import (
    FILTERS,
    Draft,
    clean,
    filter_drafts,
    filter_samples,
    find_fault,
)
from optimize.synthesis.generate import CheckRoundTrip
from optimize.synthesis.report import split_requests
from task_delegator.knobs import KnobValues
from task_delegator.retrieval.index_cache import IndexCache
from task_delegator.retrieval.retrieve import Retrieve


def draft(text, agent="Refunds"):
    return Draft(text, agent, "office", "plain", "call")


KEPT = draft("where has the money for the broken lamp gone")
CASES = {
    "too short": [draft("help me")],
    "names its agent": [draft("dear refunds, what about the returned chair")],
    "repeats a sample": [draft("Refund my order!"), draft("book a train", "Payroll")],
    "written for two agents": [
        draft("our card was charged for a cancelled webinar"),
        draft("our card was charged for the cancelled webinar", "Events"),
    ],
    "repeats a request": [draft("Where has the money for the broken lamps gone?")],
}


def test_every_filter_has_a_case():
    assert list(CASES) == list(FILTERS)


@pytest.mark.parametrize("reason", FILTERS)
def test_a_filter_drops_what_nothing_else_would(reason, office, monkeypatch):
    drafts = [KEPT, *CASES[reason]]
    kept, dropped = filter_drafts(drafts, office, lambda _: None)
    assert kept == [KEPT]
    assert [(drop.draft, drop.reason) for drop in dropped] == [(d, reason) for d in drafts[1:]]
    # Not delitem: what is put back stands last, and filters have an order.
    others = {name: one for name, one in FILTERS.items() if name != reason}
    monkeypatch.setattr("optimize.synthesis.filters.FILTERS", others)
    assert drafts[1] in filter_drafts(drafts, office, lambda _: None)[0]


def test_what_does_not_lead_back_is_dropped_with_the_reason(office):
    kept, dropped = filter_drafts([KEPT], office, lambda _: "leads elsewhere")
    assert (kept, dropped[0].reason) == ([], "leads elsewhere")


WORDS = st.lists(
    st.sampled_from(["refund", "order", "money", "train", "Porto", "lamp", "the"]), max_size=6
)


@given(
    st.lists(st.tuples(WORDS, st.sampled_from(["Refunds", "Travel", "Events"])), max_size=12),
    st.integers(0, 9),
)
def test_whatever_is_written_what_is_kept_does_not_leak(texts, seed):
    office = office_registry()
    drafts = [draft(" ".join(text), agent) for text, agent in texts]
    kept, dropped = filter_drafts(drafts, office, lambda _: None)
    assert Counter(kept) + Counter(drop.draft for drop in dropped) == Counter(drafts)
    splits = split_requests(kept, seed)
    assert Counter(d for own in splits.values() for d in own) == Counter(kept)
    labelled = {
        name: tuple(Request(d.text, (d.agent,)) for d in own) for name, own in splits.items()
    }
    assert leaks(Dataset(ROOT, office, labelled, {}, {}, {})) == []


@given(st.integers(0, 120), st.integers(1, 9), st.integers(0, 9))
def test_splits_are_of_one_size_but_validation_is_enough_to_compile(kept, agents, seed):
    drafts = [draft(f"text {i}", f"agent {i % agents}") for i in range(kept)]
    sizes = {name: len(own) for name, own in split_requests(drafts, seed).items()}
    assert sum(sizes.values()) == kept
    if 45 <= kept < 90:
        assert sizes["validation"] == 30
        del sizes["validation"]
    assert max(sizes.values()) - min(sizes.values()) <= 1


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (" 1. Pay  the\nbill ", "Pay the bill"),
        ("- 'Pay the bill'", "Pay the bill"),
        ("2 vans are late", "2 vans are late"),
        ('They said "pay"', 'They said "pay"'),
        ('"', '"'),
    ],
)
def test_texts_are_cleaned_of_list_marks_and_quotes(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("name", "description", "reason"),
    [
        ("", "does x", "says nothing of itself"),
        ("X", "", "says nothing of itself"),
        ("REFUNDS", "answers the phone", "has another's name"),
        ("X", "books trains and hotels", "has another's description"),
        ("X", "waters the plants", None),
    ],
)
def test_an_agent_must_differ_from_the_others(office, name, description, reason):
    assert find_fault(name, description, list(office)) == reason


def test_samples_are_sifted_too():
    others = [make_agent("Other", "x", "send the invoice again")]
    texts = [
        "pay",
        "Mine shall pay the bill",
        "Send the invoice again!",
        *(f"{w} is due" for w in FRESH),
    ]
    kept, reasons = filter_samples(texts, "Mine", others)
    assert kept == tuple(f"{word} is due" for word in FRESH[:5])
    assert Counter(reasons) == {
        "too short": 1, "names its agent": 1, "repeats a sample": 1, "more than enough": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "picks", "reason", "calls"),
    [
        (0, None, None, 0),
        (1, 1, None, 1),
        (2, 0, "leads elsewhere, says the LM", 1),
        (1, None, "not judged: unreadable", 1),
        (3, 3, "leads elsewhere", 0),
    ],
)
def test_a_request_leads_back_by_retrieval_or_by_the_lm(
    tmp_path, office, place, picks, reason, calls
):
    retrieve = Retrieve(IndexCache(office, HashedWords()))
    text = "who books the money for the hotel"
    found = [agent.name for agent in retrieve(text, KnobValues()).agents]

    def answer(prompt):
        if picks is None:
            return "no idea"
        lines = field(prompt, "candidates").splitlines()
        return json.dumps(
            {"slot": next(li[0] for li in lines if li[1:].startswith(f") {found[picks]}"))}
        )

    lm, engine = recorded_lm(answer)
    with ResponseCache(tmp_path / "answers.jsonl", 9) as answers:
        back = CheckRoundTrip(retrieve, answers, lm, seed=0)
        assert back(draft(text, found[place])).reason == reason
        assert back(draft(text, found[place])).reason == reason
    assert len(engine.prompts) == calls


def test_without_room_for_a_judge_a_doubtful_request_is_not_kept(tmp_path, office):
    retrieve = Retrieve(IndexCache(office, HashedWords()))
    text = "who books the money for the hotel"
    second = retrieve(text, KnobValues()).agents[1].name
    with ResponseCache(tmp_path / "answers.jsonl", 0) as answers:
        back = CheckRoundTrip(retrieve, answers, None, seed=0)
        assert back(draft(text, second)).reason == "not judged: limit of calls"
