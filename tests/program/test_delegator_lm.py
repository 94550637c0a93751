"""When the delegator asks an LM, which one, and what its answers change."""

import os
from types import SimpleNamespace

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import recorded_lm, said_by_lm, slot_of
from small import HashedWords, delegator

from task_delegator import delegator as delegators
from task_delegator.delegation import Candidate
from task_delegator.delegator import Delegator, weigh
from task_delegator.errors import LMError, LMSpecError
from task_delegator.knobs import LMKnobs
from task_delegator.registry.agents import Agent
from task_delegator.stages.cards import Shortlist
from task_delegator.stages.classify import ClassifyAgent


def test_the_gate_spares_the_lm_what_retrieval_is_sure_of(office):
    lm, engine = recorded_lm(slot_of("Refunds"))
    with dspy.context(lm=lm):
        delegator(office, {"lm.gate": None, "lm.weight": 1.0})("refund my order")
        assert engine.prompts == []
        asked = delegator(office, {"lm.ask_settled": True, "lm.weight": 1.0})("refund my order")
    assert len(engine.prompts) == asked.usage.lm_calls == 2
    assert asked.usage.tokens == 24


@pytest.mark.parametrize(
    ("settled", "calibrated_for", "languages", "knobs"),
    [
        (None, None, None, {}),
        ("uncalibrated", frozenset(), None, {}),
        ("language", None, frozenset({"en"}), {}),
    ],
)
def test_the_lm_is_not_asked_about_what_is_settled(
    office, settled, calibrated_for, languages, knobs
):
    """Nothing it says could change the decision; ``ask_settled`` asks it all the same."""
    embed = HashedWords()
    embed.languages = languages
    program = Delegator(office, embed, calibrated_for=calibrated_for)
    lm, engine = recorded_lm(slot_of("Refunds"))
    task = "Bitte erstatten Sie mir das Geld für meine Bestellung zurück."
    for ask_settled, calls in ((False, 0 if settled else 2), (True, 2)):
        program.knobs.set(
            {
                "lm.gate": 1.0,
                "lm.ask_settled": ask_settled,
                "confidence.assign_threshold": 1.0,
                "lm.repeats": 1,
                "retrieval.k": 6,
                **knobs,
            }
        )
        engine.prompts.clear()
        with dspy.context(lm=lm):
            given = program(task)
        assert len(engine.prompts) == given.usage.lm_calls == calls
        assert given.evidence.gate.settled == settled
        assert given.decision == "review"
        assert (given.evidence.lm is None) == (calls == 0)


def test_the_lm_moves_the_posterior_by_its_weight(office):
    lm, _ = recorded_lm(slot_of("Travel"))
    with dspy.context(lm=lm):
        weightless = delegator(office, {"lm.ask_settled": True, "lm.weight": 0.0})(
            "refund my order"
        )
        heavy = delegator(office, {"lm.ask_settled": True, "lm.weight": 20.0})("refund my order")
    assert weightless.agent == "Refunds"
    assert heavy.agent == "Travel"


def test_an_lm_that_always_answers_the_first_slot_changes_nothing(office):
    lm, _ = recorded_lm(lambda prompt: '{"slot": "A"}')
    program = delegator(office, {"lm.ask_settled": True, "lm.weight": 2.0})
    without = program("hotel and train and invoice")
    with dspy.context(lm=lm):
        given = program("hotel and train and invoice")
    there, back = said_by_lm(given).answers
    assert there.picked != back.picked
    # The two ends of the shortlist share the bias; every other agent keeps its odds.
    assert given.top3[0].name == without.top3[0].name


def test_an_unreadable_answer_leaves_retrieval_alone(office):
    lm, _ = recorded_lm(lambda prompt: "I would rather not say")
    program = delegator(office, {"lm.ask_settled": True, "lm.weight": 2.0})
    with dspy.context(lm=lm):
        delegation = program("refund my order")
    answers = said_by_lm(delegation).answers
    assert [(a.source, a.picked) for a in answers] == [("unreadable", None)] * 2
    assert delegation.top3[0].probability == pytest.approx(
        program("refund my order").top3[0].probability
    )


def test_an_lm_that_is_set_on_the_predictors_is_asked(office):
    lm, engine = recorded_lm(slot_of("Refunds"))
    program = delegator(office, {"lm.ask_settled": True, "lm.weight": 1.0, "split.use_lm": True})
    program.set_lm(lm)
    assert program("refund my order").usage.lm_calls == len(engine.prompts) == 2
    program.set_lm(None)
    assert program("refund my order").usage.lm_calls == 0
    program.classify.select.lm = lm
    assert program("refund my order").usage.lm_calls == 2
    assert program.plan("refund my order").usage.lm_calls == 2 + 1


def test_a_call_asks_one_lm_the_predictors_before_the_programs_own_before_the_settings(office):
    (own, first), (bound, second), (settings_lm, third) = (
        recorded_lm(slot_of("Refunds")) for _ in range(3)
    )

    def asked(program):
        before = [len(engine.prompts) for engine in (first, second, third)]
        with dspy.context(lm=settings_lm):
            program("refund my order")
        after = [len(engine.prompts) for engine in (first, second, third)]
        return [now - then for now, then in zip(after, before, strict=True)]

    program = delegator(office, {"lm.ask_settled": True})
    assert asked(program) == [0, 0, 2]
    program.set_lm(bound)
    assert asked(program) == [0, 2, 0]
    owner = Delegator(office, HashedWords(), lm=own)
    owner.knobs.set({"lm.ask_settled": True, "lm.repeats": 1, "retrieval.k": 6})
    assert asked(owner) == [2, 0, 0]
    owner.set_lm(bound)
    assert asked(owner) == [0, 2, 0]
    owner.set_lm(None)
    assert asked(owner) == [2, 0, 0]


def test_the_prior_is_that_of_the_lm_that_is_asked(office):
    program = delegator(
        office, {"lm.ask_settled": True, "lm.prior": 1.0, "lm.shortlist": 2, "lm.weight": 1.0}
    )
    calls = []
    for name in ("recorded/one", "recorded/two", "recorded/one"):
        _, engine = recorded_lm(slot_of("Refunds"))
        program.set_lm(dspy.LM(name, engine=engine, cache=False))
        calls.append(program("refund my order").usage.lm_calls)
        assert len(engine.prompts) == calls[-1]
    assert calls[0] == calls[1] > calls[2] == 2


def test_a_spec_is_resolved_once(office, monkeypatch):
    lm, engine = recorded_lm(slot_of("Refunds"))
    resolved = []
    monkeypatch.setattr(
        "task_delegator.delegator.language_model", lambda spec: resolved.append(spec) or lm
    )
    program = Delegator(office, HashedWords(), lm="openai/some-model")
    program.knobs.set({"lm.ask_settled": True, "lm.repeats": 1, "retrieval.k": 6})
    for _ in range(3):
        program("refund my order")
    assert len(engine.prompts) == 6
    assert resolved == ["openai/some-model"]
    assert program.__getstate__()["_resolved"] is None


@pytest.mark.parametrize("by", ["set_lm", "settings"])
def test_a_spec_is_resolved_wherever_dspy_is_given_it(office, monkeypatch, by):
    lm, engine = recorded_lm(slot_of("Refunds"))
    monkeypatch.setattr("task_delegator.delegator.language_model", {"openai/some-model": lm}.get)
    program = Delegator(office, HashedWords())
    program.knobs.set({"lm.ask_settled": True, "lm.repeats": 1, "retrieval.k": 6})
    if by == "set_lm":
        program.set_lm("openai/some-model")
        program("refund my order")
    else:
        with dspy.context(lm="openai/some-model"):
            program("refund my order")
    assert engine.prompts


def test_what_is_no_lm_is_refused_in_a_line(office):
    program = Delegator(office, HashedWords(), lm=3)  # pyright: ignore[reportArgumentType]
    program.knobs.set({"lm.ask_settled": True, "retrieval.k": 6})
    with pytest.raises(LMSpecError, match=r"lm is 3: give a dspy\.LM or a name"):
        program("refund my order")


def test_an_embedded_lm_is_found_again_where_its_server_died(office, monkeypatch):
    servers: dict = {}
    monkeypatch.setattr("task_delegator.lm.server._servers", servers)

    def started(spec):
        key = f"key {len(servers)}"
        lm, _ = recorded_lm(slot_of("Refunds"))
        lm.kwargs["api_key"] = key
        servers[os.getpid(), key] = SimpleNamespace(api_key=key, alive=lambda: key not in dead)
        return lm

    dead: set[str] = set()
    monkeypatch.setattr("task_delegator.delegator.language_model", started)
    program = Delegator(office, HashedWords(), lm="embedded")
    program.knobs.set({"lm.ask_settled": True, "lm.repeats": 1, "retrieval.k": 6})
    counts = []
    for died in (set(), set(), {"key 0"}, {"key 0"}):
        dead |= died
        program("refund my order")
        counts.append(len(servers))
    assert counts == [1, 1, 2, 2]


def test_an_lm_that_fails_is_an_error_in_one_line(office):
    def fail(prompt):
        raise RuntimeError("the server is on fire")

    lm, _ = recorded_lm(fail)
    program = delegator(office, {"lm.ask_settled": True})
    program.on_lm_failure = "raise"
    with dspy.context(lm=lm), pytest.raises(LMError, match="on fire") as caught:
        program("refund my order")
    assert "\n" not in str(caught.value)


def test_nothing_of_an_answer_stays_in_memory(office):
    lm, _ = recorded_lm(slot_of("Refunds"))
    with dspy.context(lm=lm):
        program = delegator(office, {"lm.ask_settled": True})
        for _ in range(3):
            program("refund my order")
    assert lm.history == []
    assert program.classify.select.history == []


def test_an_agent_that_leaves_while_the_lm_is_asked_does_no_harm(office):
    def answer(prompt):
        if "Travel" in office:
            office.remove("Travel")
        return '{"slot": "A"}'

    lm, _ = recorded_lm(answer)
    with dspy.context(lm=lm):
        assert delegator(office, {"lm.ask_settled": True})("book a train").agent == "Travel"
    assert delegator(office)("book a train").agent != "Travel"


def test_usage_is_tracked_for_dspy(office):
    lm, _ = recorded_lm(slot_of("Refunds"))
    with dspy.context(lm=lm, track_usage=True):
        delegation = delegator(office, {"lm.ask_settled": True})("refund my order")
    assert delegation.get_lm_usage() is not None


@given(
    st.lists(st.floats(0.001, 1.0), min_size=2, max_size=8),
    st.floats(0.0, 3.0),
    st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8),
)
def test_weighing_keeps_the_mass_and_sorts(shares, weight, beliefs):
    total = sum(shares) * 1.25  # some of it belongs to agents that are not shown
    candidates = [Candidate(f"a{i}", share / total) for i, share in enumerate(shares)]
    belief = {c.name: b for c, b in zip(candidates, beliefs, strict=False)}
    pooled = weigh(candidates, belief, weight)
    assert sum(c.probability for c in pooled) == pytest.approx(
        sum(c.probability for c in candidates)
    )
    assert list(pooled) == sorted(pooled, key=lambda c: (-c.probability, c.name))
    if weight == 0:
        assert {c.name: pytest.approx(c.probability) for c in candidates} == {
            c.name: c.probability for c in pooled
        }


def test_a_shortlist_has_one_to_nineteen_agents():
    for agents in ([], [Agent(name=str(i)) for i in range(20)]):
        with pytest.raises(ValueError, match="shortlist has 1 to 19"):
            ClassifyAgent()(task="x", shortlist=Shortlist(tuple(agents)), knobs=LMKnobs())


def test_every_predictor_is_within_reach_of_an_optimizer(office):
    assert [name for name, _ in delegator(office).named_predictors()] == [
        "decompose.split",
        "expand.rephrase",
        "expand.describe",
        "classify.select",
        "classify.weigh",
        "classify.rank",
        "classify.explain",
        "rate.rate.predict",
    ]


@pytest.mark.parametrize(("gate", "imported"), [(1.0, ["litellm"]), (None, [])])
def test_warming_up_imports_what_the_first_call_of_a_hosted_lm_would(
    office, monkeypatch, gate, imported
):
    calls: list[str] = []
    monkeypatch.setattr("task_delegator.lm.specs.import_module", calls.append)
    monkeypatch.setattr("task_delegator.lm.specs.uses_litellm", lambda _: True)
    program = delegator(office, {"lm.gate": gate})
    with dspy.context(lm=dspy.LM("openai/gpt-4o-mini", api_key="none")):
        program.warm_up()
    assert calls == imported


def test_a_fault_is_in_the_log_once(caplog, office):
    delegators._tell_fault.cache_clear()
    lm, _ = recorded_lm(lambda _: "nothing that can be read")
    program = delegator(office, {"lm.gate": 1.0, "lm.repeats": 1})
    with dspy.context(lm=lm):
        found = [program("refund my order").evidence.lm_failure for _ in range(2)]
    assert None not in found
    assert caplog.text.count("the LM failed (unreadable), tasks are decided without it") == 1
