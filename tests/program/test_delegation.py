"""A delegation is a value: declared fields, no change, plain JSON; and DSPy takes it as it is."""

import copy
import json
import pickle
from typing import Any

import dspy
import pytest
from recorded import recorded_lm
from small import HashedWords, make_agent

from task_delegator.delegation import Candidate, Delegation, Evidence, Usage
from task_delegator.delegator import Delegator
from task_delegator.prediction import FrozenPrediction
from task_delegator.registry.agents import Registry

FIELDS = {
    "task": "refund",
    "decision": "assign",
    "agent": "Refunds",
    "top3": (Candidate("Refunds", 1.0),),
    "confidence": 0.9,
    "reason": "it says so",
}


def delegate(registry, task="refund my order", lm=None, knobs=()):
    program = Delegator(registry, HashedWords())
    program.knobs.set({"retrieval.k": 4, "lm.repeats": 1} | dict(knobs))
    with dspy.context(lm=lm):
        return program(task, permissions=[])


def keys_of(value):
    return {k: keys_of(v) for k, v in value.items()} if isinstance(value, dict) else {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**FIELDS, "tsak": "t"}, "Delegation has no field tsak"),
        ({"task": "t"}, "Delegation needs decision, agent, top3, confidence, reason"),
    ],
)
def test_fields_are_the_declared_ones(fields, message):
    with pytest.raises(TypeError, match=message):
        Delegation(**fields)


def test_what_was_made_cannot_be_changed():
    made = Delegation(**FIELDS)
    for change in (
        lambda: setattr(made, "agent", "Ada"),
        lambda: setattr(made, "colour", "red"),
        lambda: made.__setitem__("agent", "Ada"),
        lambda: made.__delitem__("agent"),
        lambda: delattr(made, "agent"),
    ):
        with pytest.raises(TypeError, match="Delegation cannot be changed"):
            change()
    with pytest.raises(AttributeError):
        made.evidence.calibrated = True  # type: ignore[misc]
    assert made == Delegation(**FIELDS)
    assert (made.rubric, made.evidence, made.usage) == (None, Evidence(), Usage())
    with pytest.raises(TypeError, match="has no field tsak"):
        made.copy(tsak="t")
    assert made.copy(agent="Ada").agent == "Ada"
    assert made.agent == "Refunds"
    assert "reason" not in made.without("reason")


def test_copies_of_a_real_one_are_equal(office):
    lm, _ = recorded_lm(lambda prompt: '{"slot": "A"}')
    given = delegate(office, lm=lm, knobs={"lm.ask_settled": True})
    assert given.evidence.lm is not None
    for again in (pickle.loads(pickle.dumps(given)), copy.copy(given), copy.deepcopy(given)):
        assert type(again) is Delegation
        assert again == given
        assert again.to_dict() == given.to_dict()
    assert given in {given}
    example = given.with_inputs("task")
    assert example.inputs().toDict() == {"task": given.task}
    assert dspy.Example(base=given).agent == given.agent


def test_json_says_the_same_with_and_without_an_lm_and_for_nobody(office):
    lm, _ = recorded_lm(lambda prompt: '{"slot": "A"}')
    plain, asked = delegate(office), delegate(office, lm=lm, knobs={"lm.ask_settled": True})
    nobody = delegate(Registry([make_agent("Secret", "all", needs=("x",))]))
    assert (nobody.decision, nobody.top3) == ("none", ())
    said = [json.loads(json.dumps(d.to_dict())) for d in (plain, asked, nobody)]
    for values in said:
        for varies in ("posterior", "z_scores"):  # by agent
            values["evidence"]["retrieval"][varies] = None
    assert keys_of(said[0]) == keys_of(said[2])
    assert keys_of(said[1]["evidence"].pop("lm")).keys() == {
        "probabilities", "none", "answers", "expansions", "left_out", "rubric", "reason",
    }  # fmt: skip
    said[0]["evidence"].pop("lm")
    assert keys_of(said[1]) == keys_of(said[0])
    assert plain.toDict() == plain.to_dict()  # what MLflow's traces call


def test_dspy_evaluates_and_batches_delegations(office):
    program = Delegator(office, HashedWords())
    rows = [("refund my order", "Refunds"), ("book a train", "Travel")]
    examples = [dspy.Example(task=task, agent=agent).with_inputs("task") for task, agent in rows]
    scored = dspy.Evaluate(
        devset=examples,
        metric=lambda example, given, trace=None: example.agent == given.top3[0].name,
        num_threads=2,
        display_progress=False,
    )(program)
    assert scored.score == 100.0
    given: Any = program.batch(examples, num_threads=2, disable_progress_bar=True)
    assert [type(one) for one in given] == [Delegation, Delegation]
    assert [one.top3[0].name for one in given] == ["Refunds", "Travel"]


def test_a_default_of_a_field_is_not_shared_with_the_class():
    class Pair(FrozenPrediction):
        left: int
        right: int = 2

    class Triple(Pair):
        third: str = "c"

    assert dict(Triple(left=1).items()) == {"left": 1, "right": 2, "third": "c"}
    assert Pair(left=1, right=5).right == 5
    with pytest.raises(TypeError, match="Pair needs left"):
        Pair()  # type: ignore[call-arg]
