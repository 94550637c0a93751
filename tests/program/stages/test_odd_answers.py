"""Odd answers to every stage, and of a decider: a delegation, or an ``LMError``."""

import json
import math
from types import SimpleNamespace
from typing import Any

import dspy
import pytest
from recorded import recorded_lm
from small import HashedWords
from wire import Provider, decision

from task_delegator.decision.decide import decide
from task_delegator.delegation import Candidate, Delegation
from task_delegator.delegator import Delegator
from task_delegator.errors import LMError
from task_delegator.knobs import Thresholds
from task_delegator.lm.specs import language_model
from task_delegator.settings import MAX_TASK_CHARACTERS

TASK = "refund my order and book a train"


def delegator(office, lm: Any) -> Delegator:
    program = Delegator(office, HashedWords(), lm)
    program.knobs.set(
        {
            "retrieval.k": 3,
            "lm.ask_settled": True,
            "lm.weight": 1.0,
            "lm.repeats": 1,
            "expansion.phrasings": 2,
            "expansion.hyde": True,
            "lm.rubric_high": 1.0,
            "split.use_lm": True,
        }
    )
    return program


def is_sound(delegation: Delegation) -> bool:
    """Tell whether all numbers are probabilities, and the whole is JSON."""
    json.dumps(delegation.to_dict(), allow_nan=False)
    return 0 <= delegation.confidence <= 1


PARTS = {
    "numbers": "[1, 2]",
    "a text": '"x"',
    "null": '[{"task": null}]',
    "huge and negative numbers": '[{"task": "a b", "after": [99999999999999999999, -1, 2]}, '
    '{"task": "c", "after": [2, 1]}]',
    "a circle": '[{"task": "a", "after": [1, 2]}, {"task": "b", "after": [2, 1, 1]}]',
    "half characters": r'[{"task": "\ud800 book"}, {"task": "\udfff"}]',
    "null characters": r'[{"task": "\u0000 a"}, {"task": "\u0000"}]',
    "very many": json.dumps([{"task": "x"}] * 200),
}
PHRASINGS = {
    "numbers": "[1]",
    "a text": '"abc"',
    "an object": '{"a": 1}',
    "none": "[]",
    "blanks": '["  "]',
    "half a character": r'["\ud800"]',
    "a null character": r'["\u0000"]',
    "a long text": json.dumps(["x " * 3500]),
}
RUBRICS = {
    "true": None, "null": None, "6": None, "NaN": None, "1e999": None, "[4]": None, '""': None,
    "5.0": 5, '"4"': 4,
}  # fmt: skip


def answering(**fields: str) -> Any:
    """Return an LM that says this JSON to whatever stage asks."""
    values = {"slot": '"B"', "reasoning": '"x"', "description": '"x"', **fields}
    said = "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"
    return recorded_lm(lambda prompt: said)[0]


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_odd_parts_make_a_plan(office, parts):
    lm = answering(parts=parts, phrasings='["x"]', rubric="3")
    plan = delegator(office, lm).plan(TASK)
    assert all(is_sound(step.delegation) for step in plan.steps)
    assert all(number < step.number for step in plan.steps for number in step.after)


def test_a_part_that_is_too_long_for_a_task_is_unreadable(office):
    parts = json.dumps([{"task": "x" * (MAX_TASK_CHARACTERS + 1)}, {"task": "y"}])
    lm = recorded_lm(lambda prompt: f"[[ ## parts ## ]]\n{parts}\n[[ ## completed ## ]]")[0]
    program = delegator(office, lm)
    program.knobs.set({"lm.gate": None})
    with dspy.context(adapter=dspy.ChatAdapter()):  # which bounds no answer
        assert program.plan(TASK).source == "lexical"


@pytest.mark.parametrize("phrasings", PHRASINGS.values(), ids=PHRASINGS)
def test_odd_phrasings_make_a_delegation(office, phrasings):
    lm = answering(phrasings=phrasings, rubric="3")
    assert is_sound(delegator(office, lm)(TASK))


@pytest.mark.parametrize(("rubric", "read"), RUBRICS.items())
def test_a_rating_is_a_number_of_the_scale_or_none(office, rubric, read):
    rated = delegator(office, answering(phrasings='["x"]', rubric=rubric))(TASK).rubric
    assert rated == read
    assert not isinstance(rated, bool | float)


@pytest.mark.parametrize("task", ["refund \ud800 it", "\udcff\udcfe", "refund \x00 it"])
def test_a_task_with_half_a_character_reaches_the_lm(office, task):
    lm, engine = recorded_lm(lambda prompt: '{"slot": "B"}')
    delegation = delegator(office, lm)(task)
    assert is_sound(delegation)
    assert delegation.usage.lm_calls > 0
    assert not any("\ud800" in prompt for prompt in engine.prompts)


class Careless(dspy.BaseLM):
    """An LM of somebody's own, which answers with what no provider does."""

    def __init__(self, choices: Any, usage: Any) -> None:
        super().__init__(model="own/careless")
        self._answer = SimpleNamespace(choices=choices, usage=usage, model="x")

    def forward(self, prompt: Any = None, messages: Any = None, **_: Any) -> Any:
        return self._answer


def choice(content: Any) -> Any:
    message = SimpleNamespace(content=content, tool_calls=None)
    return SimpleNamespace(message=message, finish_reason="stop", logprobs=None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of own LMs
@pytest.mark.parametrize(
    ("choices", "usage"),
    [
        ([], {}),
        ([choice(5)], {}),
        ([choice(["a"])], {}),
        ([choice('{"slot": "B"}')], {"total_tokens": "x"}),
        ([choice('{"slot": "B"}')], {"total_tokens": math.nan}),
        ([choice('{"slot": "B"}')], {"total_tokens": -(10**30)}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_no_answer_at_all_and_usage_that_is_no_number_make_a_plan(office, choices, usage):
    plan = delegator(office, Careless(choices, usage)).plan(TASK)
    assert all(is_sound(step.delegation) for step in plan.steps)
    assert plan.usage.tokens >= 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of own LMs
@pytest.mark.parametrize("usage", [5, "x", [1], object(), True, SimpleNamespace(total_tokens=5)])
def test_usage_that_is_no_mapping_is_a_failure_of_the_lm(office, usage):
    program = delegator(office, Careless([choice('{"slot": "B"}')], usage))
    failure = program(TASK).evidence.lm_failure
    assert failure is not None
    assert failure.message.startswith("the LM did not answer: ")
    program.on_lm_failure = "raise"
    with pytest.raises(LMError, match=r"did not answer: (TypeError|ValueError)"):
        program(TASK)


DECIDED = {
    "no probability": {},
    "of no slot": {"Q": 1.0},
    "of one slot": {"B": 0.4},
    "zero": dict.fromkeys("ABCZ", 0.0),
    "one each": dict.fromkeys("ABCZ", 1.0),
    "all on one": {"A": 0.0, "B": 1.0, "C": 0.0, "Z": 0.0},
    "all on none": {"A": 0.0, "B": 0.0, "C": 0.0, "Z": 1.0},
    "negative": {"A": -0.5, "B": 1.5, "C": 0.0, "Z": 0.0},
    "denormal": dict.fromkeys("ABCZ", 5e-324),
    "not a number": {"A": math.nan, "B": 0.5, "C": 0.1, "Z": 0.1},
    "infinite": {"A": math.inf, "B": 0.5, "C": 0.1, "Z": 0.1},
    "minus infinity": {"A": -math.inf, "B": 0.5, "C": 0.1, "Z": 0.1},
    "true": {"A": True, "B": False, "C": False, "Z": False},
    "text": {"A": "0.5", "B": "0.5"},
    "null": None,
}


@pytest.mark.parametrize("probabilities", DECIDED.values(), ids=DECIDED)
@pytest.mark.parametrize("named", [True, False], ids=["with a choice", "without"])
def test_an_odd_decision_is_a_delegation_or_an_error(office, monkeypatch, probabilities, named):
    monkeypatch.setenv("TYPESAFE_API_KEY", "a-key")

    def whole(headers, body):
        answer = decision(body["questions"]["slot"]["criteria"])
        said = answer["answers"]["slot"]
        said["probabilities"] = probabilities
        if not named:
            del said["choice"], said["confidence"]
        return answer

    with Provider(whole=whole) as provider:
        program = delegator(office, language_model(f"systemone:{provider.address}"))
        try:
            delegation = program(TASK)
        except LMError:
            return
    assert is_sound(delegation)
    assert (delegation.evidence.lm or delegation.evidence.lm_failure) is not None
    for said in delegation.evidence.lm.answers if delegation.evidence.lm else ():
        assert math.fsum((*said.probabilities.values(), said.none)) == pytest.approx(1)


@pytest.mark.parametrize("confidence", [math.nan, -math.inf])
def test_only_a_confidence_that_reaches_the_threshold_assigns(confidence):
    thresholds = Thresholds(0.9, None)
    for fits in (1.0, math.nan):
        found = [Candidate("A", math.nan)]
        assert decide(found, confidence, fits, thresholds)[0] == "review"
    assert decide([Candidate("A", 1.0)], 1.0, math.nan, thresholds)[0] == "review"


def test_a_part_that_is_too_long_as_it_is_read_is_no_part(office):
    parts = [{"task": "\ufdfa" * 2000}, {"task": "book a train"}]
    long = json.dumps({"parts": parts}, ensure_ascii=False)
    lm, _ = recorded_lm(lambda _: long)
    program = delegator(office, lm)
    program.knobs.set({"split.use_lm": True})
    assert program.plan(TASK).source == "lexical"
