"""Whatever an LM says is a distribution, unreadable, or an ``LMError``; and what errors show."""

import json
import math
import traceback
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import recorded_lm
from small import HashedWords, office_registry
from wire import Provider, completion, decision, weighed

from task_delegator.delegator import Delegator
from task_delegator.embedders.specs import embedder
from task_delegator.errors import LMError
from task_delegator.knobs import LMKnobs
from task_delegator.lm.specs import language_model
from task_delegator.signatures import NONE_SLOT, SLOTS
from task_delegator.stages.cards import Shortlist
from task_delegator.stages.classify import ClassifyAgent
from task_delegator.stages.prompting import ask

TASK = "Refund the card payment of Jane Doe, account DE89370400440532013000"
KEY = "sk-of-the-environment-0123456789"


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("TYPESAFE_API_KEY", KEY)


def classified(lm: Any, knobs: Any = ()) -> dspy.Prediction:
    values = LMKnobs.model_validate({"orders": 1, "repeats": 1} | dict(knobs))
    with dspy.context(lm=lm):
        agents = list(office_registry())[:3]
        return ClassifyAgent()(task=TASK, shortlist=Shortlist(tuple(agents)), knobs=values)


def hosted(provider: Provider) -> Any:
    return language_model("openai/gpt-4o-mini").copy(api_base=provider.url, num_retries=0)


def echo(headers, body) -> dict[str, Any]:
    """Answer as proxies do that quote the whole request in the error."""
    sent = f"{headers.get('Authorization')} \x1b[31m\x07 {json.dumps(body)}"
    return {
        "error": {"message": f"cannot serve {sent} {body}", "type": "server_error", "code": sent}
    }


def hides(shown: str) -> bool:
    """Tell whether nothing of the task or the key, and no control character, is shown."""
    runs = {text[at : at + 12] for text in (TASK, KEY) for at in range(len(text) - 11)}
    return shown.isprintable() and not any(run in shown for run in runs)


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_an_error_does_not_show_what_the_provider_echoes(status):
    with Provider(status=status, whole=echo) as provider, pytest.raises(LMError) as caught:
        classified(hosted(provider))
    shown = str(caught.value)
    assert hides(shown)
    assert f"HTTP {status}" in shown
    assert "cannot serve" in shown
    assert len(shown) < 240
    assert KEY in str(caught.value.__cause__)  # the cause is kept, for a debugger


def test_an_error_of_a_decider_does_not_show_what_it_echoes():
    with Provider(status=422, whole=echo) as provider, pytest.raises(LMError) as caught:
        classified(language_model(f"systemone:{provider.address}"))
    assert hides(str(caught.value))
    assert "HTTP 422" in str(caught.value)


@pytest.mark.slow
def test_the_command_does_not_show_what_the_provider_echoes(tmp_path, capfd, office):
    from task_delegator.artifact.store import save
    from task_delegator.cli import main

    program = Delegator(office, HashedWords())
    program.knobs.set({"retrieval.k": 3, "lm.ask_settled": True, "lm.weight": 1.0})
    agents_of_it = {"sha256": office.sha256(), "calibrated": []}
    made_for = {"embedder": {"spec": "minilm", "id": embedder("minilm").id}}
    save(program, tmp_path / "program", made_for | {"registry": agents_of_it})
    agents = tmp_path / "agents.json"
    agents.write_text(json.dumps([{"name": a.name, "description": a.description} for a in office]))
    where = ["--agents", str(agents), "--program", str(tmp_path / "program")]
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(json.dumps({"task": TASK}) + "\n")
    with Provider(status=500, whole=echo) as provider:
        lm = ["--lm", f"systemone:{provider.address}", "--allow-uncalibrated"]
        lm += ["--on-lm-failure", "raise"]
        codes = [
            main(["delegate", TASK, *where, *lm]),
            main(["batch", str(tasks), str(tmp_path / "out.jsonl"), *where, *lm]),
        ]
    said = capfd.readouterr()
    assert codes == [3, 3]
    assert "HTTP 500" in said.err
    assert all(hides(line) for line in (said.out + said.err).splitlines())
    assert "Traceback" not in said.err


def test_a_traceback_of_the_error_alone_shows_nothing():
    with Provider(status=500, whole=echo) as provider, pytest.raises(LMError) as caught:
        classified(hosted(provider))
    alone = "".join(traceback.format_exception(caught.value, chain=False)).splitlines()
    assert all(hides(line.strip()) for line in alone if line.startswith("task_delegator"))


def logprob(value: Any, token: Any = "B", top: Any = ...) -> dict[str, Any]:
    answer = completion("gpt-4o-mini", logprobs=True)
    place = answer["choices"][0]["logprobs"]["content"][1]
    other = {"token": "A", "logprob": -2.0, "bytes": None}
    here = {"token": token, "logprob": value, "bytes": None}
    place.update(here, top_logprobs=[here, other] if top is ... else top)
    return answer


def choice(**changed: Any) -> dict[str, Any]:
    answer = completion("gpt-4o-mini", logprobs=True)
    answer["choices"][0] |= changed
    return answer


def written(content: Any) -> dict[str, Any]:
    return choice(message={"role": "assistant", "content": content}, logprobs=None)


ANSWERS = {
    "infinite": logprob(math.inf),
    "not a number": logprob(math.nan),
    "minus infinity": logprob(-math.inf),
    "overflow": logprob(800),
    "above 0": logprob(0.1),
    "null": logprob(None),
    "a list": logprob([1]),
    "null token": logprob(-0.1, token=None),
    "null alternatives": logprob(-0.1, top=[None, None]),
    "text for alternatives": logprob(-0.1, top="abc"),
    "a mapping of alternatives": logprob(-0.1, top={"B": -0.1}),
    "text for tokens": choice(logprobs={"content": "x"}),
    "a number for tokens": choice(logprobs={"content": 5}),
    "text for log-probabilities": choice(logprobs="x"),
    "no choice": completion("m", False) | {"choices": []},
    "null for choices": completion("m", False) | {"choices": None},
    "an empty object": {},
    "a list for all": [],
    "null for all": None,
    "a page": b"<html>502</html>",
    "nothing": b"",
    "no message": choice(message=None),
    "no content": written(None),
    "a number for content": written(5),
    "an empty answer": written(""),
    "nested lists": written("[" * 5000),
    "nested objects": written('{"slot":' * 5000),
    "a nested slot": written('{"slot": ' + "[" * 3000 + "]" * 3000 + "}"),
    "open braces": written("{a" * 5000),
    "a list for a slot": written('{"slot": ["B"]}'),
    "null for a slot": written('{"slot": null}'),
    "a huge number": written('{"slot": 1e999}'),
    "a huge integer": written('{"slot": ' + "9" * 5000 + "}"),
    "half a character": written('{"slot": "\ud800"}'),
    "a comment": written("/*"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_odd_answer_is_a_distribution_unreadable_or_an_error(answer):
    with Provider(whole=answer) as provider:
        held = read(hosted(provider))
    assert held in ("distribution", "unreadable", "LMError")


WEIGHED = {
    "zero": dict.fromkeys((*SLOTS, NONE_SLOT), 0.0),
    "negative": dict.fromkeys((*SLOTS, NONE_SLOT), 0.1) | {"A": -1.0},
    "not a number": dict.fromkeys((*SLOTS, NONE_SLOT), 0.1) | {"A": math.nan},
    "infinite": dict.fromkeys((*SLOTS, NONE_SLOT), 0.1) | {"A": math.inf},
    "above 1": dict.fromkeys((*SLOTS, NONE_SLOT), 3.0),
    "text": dict.fromkeys((*SLOTS, NONE_SLOT), "likely"),
    "null": None,
    "a list": [0.5, 0.5],
    "empty": {},
}


@pytest.mark.parametrize("probabilities", WEIGHED.values(), ids=WEIGHED)
def test_an_odd_distribution_is_not_believed(probabilities, caplog):
    said = {"slot": {"probabilities": probabilities, "confidence": 0.7}}

    def whole(headers, body):
        if "slot" in body.get("questions", {}):
            answer = decision(body["questions"]["slot"]["criteria"])
            answer["answers"]["slot"]["probabilities"] = probabilities
            return answer
        if "probabilities" not in json.dumps(body["response_format"]):
            return completion(body["model"], logprobs=False)
        answer = weighed(body["model"])
        answer["choices"][0]["message"]["content"] = json.dumps(said)
        return answer

    with Provider(whole=whole) as provider:
        # The slot that was answered before it stays, as of an LM that says no more.
        (said,) = classified(hosted(provider), {"repeats": 0}).answers
        assert (said.source, said.mass) == ("answer", None)
        assert read(language_model(f"systemone:{provider.address}")) in ("unreadable", "LMError")
    assert "the LM answered, then" not in caplog.text  # no fault of ours


@pytest.mark.parametrize(
    "answers", [{}, {"slot": {"type": "noul", "noul": 0.5}}, [], None, {"slot": "B"}], ids=str
)
def test_a_decider_that_answers_something_else_is_unreadable_or_an_error(answers):
    def whole(headers, body):
        return decision(body["questions"]["slot"]["criteria"]) | {"answers": answers}

    with Provider(whole=whole) as provider:
        # DSPy's own client, which a user may bring along, raises its SDK's types.
        plain = dspy.experimental.TypeSafe(base_url=provider.address, api_key=KEY, cache=False)
        for lm in (language_model(f"systemone:{provider.address}"), plain):
            assert read(lm) in ("unreadable", "LMError")


def read(lm: Any, knobs: Any = ()) -> str:
    """Return what came of an answer; anything but an ``LMError`` is let through."""
    try:
        answer = classified(lm, knobs)
    except LMError as error:
        return "LMError" if hides(str(error)) else "leak"
    beliefs = [*answer.probabilities.values(), *(said.none for said in answer.answers)]
    assert all(math.isfinite(p) and 0 <= p <= 1 for p in beliefs)
    assert math.fsum(answer.probabilities.values()) == pytest.approx(1)
    return (
        "unreadable"
        if [said.source for said in answer.answers] == ["unreadable"]
        else "distribution"
    )


@settings(max_examples=100)
@given(st.text(alphabet="{}[]\":,\\'/*-(`\n aslotBn01.eE", max_size=60) | st.text(max_size=40))
def test_whatever_text_comes_back_is_read_or_unreadable(text):
    lm, _ = recorded_lm(lambda prompt: text)
    try:
        answer = classified(lm)
    except LMError:
        return
    assert answer.answers[0].source in ("answer", "unreadable")


def test_the_adapter_that_a_user_sets_is_the_one_that_asks(office):
    def chat(prompt):
        assert "[[ ## completed ## ]]" in prompt
        if "phrasings" in prompt:
            return '[[ ## phrasings ## ]]\n["money back please"]\n[[ ## completed ## ]]'
        if "rubric" in prompt:
            return "[[ ## reasoning ## ]]\nwhy not\n[[ ## rubric ## ]]\n4\n[[ ## completed ## ]]"
        if "parts" in prompt:
            parts = '[{"task": "refund"}, {"task": "book a train", "after": [1]}]'
            return f"[[ ## parts ## ]]\n{parts}\n[[ ## completed ## ]]"
        return "[[ ## slot ## ]]\nB\n[[ ## completed ## ]]"

    lm, engine = recorded_lm(chat)
    program = Delegator(office, HashedWords())
    program.knobs.set(
        {
            "retrieval.k": 3,
            "lm.ask_settled": True,
            "lm.weight": 1.0,
            "lm.orders": 1,
            "lm.repeats": 1,
            "expansion.phrasings": 1,
            "lm.rubric_high": 1.0,
            "split.use_lm": True,
        }
    )
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        delegation = program("refund my order")
        plan = program.plan("refund my order and book a train")
    lm_evidence = delegation.evidence.lm
    assert lm_evidence is not None
    assert [answer.source for answer in lm_evidence.answers] == ["answer"]
    assert lm_evidence.expansions == ("money back please",)
    assert lm_evidence.rubric == 4
    assert plan.source == "lm"
    assert len(engine.prompts) == delegation.usage.lm_calls + plan.usage.lm_calls


def test_without_one_each_stage_asks_in_json(office):
    lm, engine = recorded_lm(lambda prompt: '{"slot": "B"}')
    assert [said.source for said in classified(lm).answers] == ["answer"]
    assert "Respond with a JSON object: `slot`." in engine.prompts[0]


def test_misuse_is_no_error_of_the_lm():
    with dspy.context(lm=None), pytest.raises(ValueError, match="No LM is loaded"):
        ask(dspy.Predict("task -> slot"), dspy.JSONAdapter(), task="x")


class FailsBehindTheParser(dspy.JSONAdapter):
    """An adapter with a fault of its own, where an answer was read already."""

    def __call__(self, *args, **kwargs):
        super().__call__(*args, **kwargs)
        raise TypeError(f"about {TASK} with {KEY}")


class Unparsing(dspy.JSONAdapter):
    """An adapter whose parser fails as those of JSON do."""

    def parse(self, signature, completion):
        raise TypeError("unhashable type: 'dict'")


@pytest.mark.parametrize(("adapter", "told"), [(FailsBehindTheParser, True), (Unparsing, False)])
def test_a_failure_that_is_no_parsers_is_logged_with_its_place(adapter, told, caplog):
    lm, _ = recorded_lm(lambda prompt: '{"slot": "B"}')
    with dspy.context(lm=lm):
        assert ask(dspy.Predict("task -> slot"), adapter(), task=TASK) is None
    assert ("the LM answered, then: TypeError" in caplog.text) == told
    assert ("in __call__\n    raise TypeError(" in caplog.text) == told
    assert all(
        hides(line.strip()) for record in caplog.records for line in record.message.splitlines()
    )


def test_a_failure_before_the_lm_is_asked_is_raised():
    class Unwritten(dspy.JSONAdapter):
        def format(self, *args, **kwargs):
            raise TypeError("of ours")

    lm, _ = recorded_lm(lambda prompt: '{"slot": "B"}')
    with dspy.context(lm=lm), pytest.raises(TypeError, match="of ours"):
        ask(dspy.Predict("task -> slot"), Unwritten(), task=TASK)
