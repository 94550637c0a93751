"""Hosted LMs and decision models, on the wire against a server on loopback."""

import copy
from typing import Any

import dspy
import pytest
from recorded import said_by_lm
from small import HashedWords
from wire import Provider

from task_delegator.calibration import CalibratedAgents
from task_delegator.delegator import Delegator
from task_delegator.errors import LMError
from task_delegator.knobs import LMKnobs
from task_delegator.lm.specs import as_asked, language_model
from task_delegator.signatures import NONE_SLOT, SLOTS
from task_delegator.stages.cards import Shortlist
from task_delegator.stages.classify import ClassifyAgent

pytestmark = pytest.mark.slow  # servers that are waited for


def test_a_provider_is_asked_for_log_probabilities_on_the_wire(office, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    program = Delegator(office, HashedWords())
    program.knobs.set({"retrieval.k": 3, "lm.ask_settled": True, "lm.weight": 1.0})
    with Provider() as provider:
        lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url)
        with dspy.context(lm=lm):
            delegation = program("refund my order")
    sent = provider.requests[0]
    assert sent["logprobs"] is True
    assert sent["top_logprobs"] == 20
    schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["slot"]["enum"] == [*SLOTS, NONE_SLOT]
    assert provider.keys[0] == "Bearer sk-of-the-environment"
    assert [a.source for a in said_by_lm(delegation).answers] == ["logprobs"] * 2
    assert [a.mass for a in said_by_lm(delegation).answers] == pytest.approx([1.0, 1.0])
    assert delegation.usage.tokens == 206
    assert "sk-of" not in str(delegation.to_dict())


@pytest.mark.parametrize("way", ["load", "context", "set_lm"])
def test_an_lm_of_somebodys_own_is_asked_as_one_that_is_named(office, monkeypatch, way):
    """It was asked for no log-probabilities: the same model assigned what it reviewed by name."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    knobs = {"retrieval.k": 3, "lm.ask_settled": True, "lm.weight": 1.0}
    with Provider() as provider:
        own = dspy.LM("openai/gpt-4o-mini", api_base=provider.url, cache=False)
        program = Delegator(office, HashedWords(), own if way == "load" else None)
        program.knobs.set(knobs)
        if way == "set_lm":
            program.set_lm(own)
        with dspy.context(lm=own if way == "context" else None):
            delegation = program("refund my order")
    assert provider.requests[0]["logprobs"] is True
    assert {a.source for a in said_by_lm(delegation).answers} == {"logprobs"}
    assert "logprobs" not in own.kwargs  # it stays as it is


def test_what_somebody_says_of_log_probabilities_holds():
    own = dspy.LM("openai/gpt-4o-mini", api_key="x", logprobs=False)
    assert as_asked(own) is own
    reasoning = dspy.LM("openai/gpt-5-mini", api_key="x")
    assert as_asked(reasoning) is reasoning
    plain = dspy.LM("openai/gpt-4o-mini", api_key="x", temperature=0.5)
    asked = as_asked(plain)
    assert asked is as_asked(plain)  # made once
    assert (asked.kwargs["temperature"], asked.kwargs["top_logprobs"]) == (0.5, 20)
    plain.kwargs["temperature"] = 0.7
    assert as_asked(plain).kwargs["temperature"] == 0.7

    class Own(dspy.LM):
        """One that answers in its own way."""

    other = Own("openai/gpt-4o-mini", api_key="x")
    assert as_asked(other) is other


@pytest.mark.parametrize("logprobs", [True, False])
def test_a_provider_decides_about_agents_that_nobody_calibrated(office, monkeypatch, logprobs):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    strangers = CalibratedAgents(frozenset({"0" * 16}), transfer=True)
    with Provider(logprobs=logprobs) as provider:
        lm = language_model("openai/gpt-4o-mini" if logprobs else "openai/gpt-5-mini")
        program = Delegator(office, HashedWords(), lm.copy(api_base=provider.url), strangers)
        program.knobs.set({"transfer.assign_threshold": 0.6, "transfer.lm_weight": 100.0})
        found = program("refund my order")
    [sent] = provider.requests
    assert ("logprobs" in sent) is logprobs
    fields = sent["response_format"]["json_schema"]["schema"]["properties"]
    assert ("ranking" in fields) is not logprobs
    if not logprobs:  # the answer on this wire is a slot alone: nobody is taken at half a word
        assert (found.decision, found.evidence.calibrated_by) == ("review", "registries")
        return
    assert found.evidence.calibrated_by == "lm"
    said, first = said_by_lm(found), found.top3[0].name
    assert found.confidence == pytest.approx(said.probabilities[first] * (1 - said.none))


def test_a_server_that_drops_log_probabilities_writes_its_belief_down(office, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    strangers = CalibratedAgents(frozenset({"0" * 16}), transfer=True)
    with Provider(logprobs=False) as provider:
        lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url)
        program = Delegator(office, HashedWords(), lm, strangers)
        program.knobs.set({"transfer.assign_threshold": 0.6, "transfer.lm_weight": 100.0})
        found = program("refund my order")
    assert len(provider.requests) == 2
    assert [answer.source for answer in said_by_lm(found).answers] == ["verbalized"]
    assert (found.decision, found.evidence.calibrated_by) == ("assign", "lm")


def test_a_provider_without_log_probabilities_is_believed_in_part(office, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    with Provider(logprobs=False) as provider:
        lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url)
        with dspy.context(lm=lm):
            answer = classified(office, {"repeats": 1})
    [given] = answer.answers
    assert (given.source, given.mass, given.picked) == ("answer", None, "Invoices")


def test_answers_are_repeated_where_there_are_no_log_probabilities(office, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    with Provider(logprobs=False, answers=["B", "B", "A", "B"]) as provider:
        lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url)
        with dspy.context(lm=lm):
            answer = classified(office, {"repeats": 4})
    assert [given.source for given in answer.answers] == ["repeated"]
    assert answer.calls == len(provider.requests) == 4
    assert [r.get("temperature") for r in provider.requests[1:]] == [1.0] * 3
    # Three of four answers, with one more spread over the four slots.
    assert answer.probabilities["Invoices"] / answer.probabilities["Refunds"] == pytest.approx(
        (3 + 0.25) / (1 + 0.25)
    )


def test_a_distribution_is_written_down_where_that_is_asked(office, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    with Provider(logprobs=False) as provider:
        lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url)
        with dspy.context(lm=lm):
            answer = classified(office, {"repeats": 0})
    assert [given.source for given in answer.answers] == ["verbalized"]
    assert answer.calls == 2
    assert answer.probabilities["Invoices"] == pytest.approx(0.7 / 0.95)


def test_a_system_one_backend_decides_through_the_same_module(office, monkeypatch):
    monkeypatch.setenv("TYPESAFE_API_KEY", "key-of-the-environment")
    with Provider() as provider:
        program = Delegator(office, HashedWords(), lm=f"systemone:{provider.address}")
        # What would have to be written is left out: it decides and writes nothing.
        program.knobs.set(
            {
                "retrieval.k": 3,
                "lm.ask_settled": True,
                "lm.weight": 1.0,
                "expansion.phrasings": 1,
                "lm.rubric_high": 1.0,
                "split.use_lm": True,
            }
        )
        delegation = program("refund my order")
        assert program.plan("refund my order").source == "lexical"
    assert set(provider.paths) == {"/v1/systemone"}
    assert set(provider.requests[0]["questions"]["slot"]["criteria"]) == {*SLOTS, NONE_SLOT}
    assert provider.keys[0] == "Bearer key-of-the-environment"
    assert [a.source for a in said_by_lm(delegation).answers] == ["decision"] * 2
    assert delegation.usage.tokens == 2 * 103
    assert "key-of" not in str(delegation.to_dict())


def classified(office, knobs=()):
    values = LMKnobs.model_validate({"orders": 1} | dict(knobs))
    return ClassifyAgent()(
        task="refund my money", shortlist=Shortlist(tuple(list(office)[:3])), knobs=values
    )


def test_the_second_order_is_asked_where_the_best_are_close(office, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    agents = list(office)[:3]
    posterior = {"Refunds": 0.5, "Invoices": 0.4, "Payroll": 0.1}
    with Provider() as provider:
        lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url)
        for close, calls in ((0.1, 1), (99.0, 2)):
            with dspy.context(lm=lm):
                answer = ClassifyAgent()(
                    task="refund",
                    shortlist=Shortlist(tuple(agents)),
                    knobs=LMKnobs(second_order_margin=close, weight=1.0),
                    posterior=posterior,
                )
            assert (answer.calls, len(answer.answers)) == (calls, calls)


def test_a_preference_for_a_slot_is_divided_out(office, monkeypatch):
    """A provider that always says the same has no opinion, only a habit."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    agents = sorted(office, key=lambda agent: agent.name)
    classify = ClassifyAgent()
    with Provider() as provider:
        lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url)
        with dspy.context(lm=lm):
            answers = [
                classify(
                    task=task,
                    shortlist=Shortlist(tuple(agents[:3])),
                    knobs=LMKnobs(orders=1, prior=1.0),
                    reference=(7, agents),
                )
                for task in ("refund", "travel")
            ]
    assert [answer.calls for answer in answers] == [3, 1]  # two shortlists, asked once
    assert list(answers[0].probabilities.values()) == pytest.approx([1 / 3] * 3)


def test_a_preference_of_a_system_one_backend_is_asked_of_the_backend(office, monkeypatch):
    monkeypatch.setenv("TYPESAFE_API_KEY", "key-of-the-environment")
    agents = sorted(office, key=lambda agent: agent.name)
    with Provider() as provider:
        lm = language_model(f"systemone:{provider.address}")
        with dspy.context(lm=lm):
            answer = ClassifyAgent()(
                task="refund",
                shortlist=Shortlist(tuple(agents[:3])),
                knobs=LMKnobs(orders=1, prior=1.0),
                reference=(7, agents),
            )
    assert set(provider.paths) == {"/v1/systemone"}
    assert answer.calls == 3
    assert list(answer.probabilities.values()) == pytest.approx([1 / 3] * 3)


def test_a_provider_that_is_out_of_order_is_an_error_in_one_line(office, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    with Provider(status=500) as provider:
        lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url, num_retries=0)
        with dspy.context(lm=lm), pytest.raises(LMError, match="did not answer") as caught:
            classified(office)
    assert "\n" not in str(caught.value)
    assert "sk-of" not in str(caught.value)


def slots_of(lm, classify, agents, **reference):
    with dspy.context(lm=lm):
        return classify(
            task="refund",
            shortlist=Shortlist(tuple(agents[:3])),
            knobs=LMKnobs(orders=1, prior=1.0),
            reference=(reference.get("version", 7), agents),
        )


@pytest.fixture
def hosted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    with Provider() as provider:
        yield language_model("openai/gpt-4o-mini").copy(api_base=provider.url)


def test_another_prompt_has_a_preference_of_its_own(office, hosted):
    agents = sorted(office, key=lambda agent: agent.name)
    classify = ClassifyAgent()
    signature: Any = classify.select.signature

    def instructed():
        classify.select.signature = signature.with_instructions("Take the first one.")

    def shown():
        classify.select.demos = [{"task": "t", "candidates": "A) x", "slot": "A"}]

    def as_before():
        classify.select.signature, classify.select.demos = signature, []

    assert slots_of(hosted, classify, agents).calls == 3
    for change, calls in ((instructed, 3), (shown, 3), (as_before, 1)):
        change()
        assert slots_of(hosted, classify, agents).calls == calls
    assert slots_of(hosted, classify, agents, version=8).calls == 3
    assert slots_of(hosted, classify, agents[::-1]).calls == 3  # other agents, same version
    with dspy.context(adapter=dspy.ChatAdapter()):
        assert slots_of(hosted, classify, agents).calls > 1


def test_preferences_are_few_and_not_copied(office, hosted):
    agents = sorted(office, key=lambda agent: agent.name)
    program = Delegator(office, HashedWords())
    for version in range(40):
        slots_of(hosted, program.classify, agents, version=version)
    assert len(program.classify._priors) == 32
    assert slots_of(hosted, program.classify, agents, version=39).calls == 1
    assert slots_of(hosted, program.classify, agents, version=0).calls == 3
    for other in (program.deepcopy(), copy.deepcopy(program)):
        assert len(other.classify._priors) == 0
        assert slots_of(hosted, other.classify, agents, version=39).calls == 3
