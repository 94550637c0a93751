import json

import dspy
import pytest
from recorded import recorded_lm, said_by_lm
from small import CountingWords, HashedWords

from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues
from task_delegator.retrieval.fusion import score
from task_delegator.stages.expand import ExpandQuery
from task_delegator.stages.rate import RateConfidence


def answers(prompt):
    """Answer each signature of the program by the fields that it asks for."""
    if "phrasings" in prompt:
        return json.dumps({"phrasings": ["Book a hotel in Porto", "book a train", "one too many"]})
    if "description" in prompt.rsplit("Respond", 1)[-1]:
        return json.dumps({"description": "books trains and hotels"})
    if "rubric" in prompt:
        return json.dumps({"reasoning": "it names the task", "rubric": 4})
    return json.dumps({"slot": "A"})


def test_expansions_are_what_the_knobs_ask_for():
    lm, engine = recorded_lm(answers)
    expand = ExpandQuery()
    with dspy.context(lm=lm):
        off = expand(task="a bed for the night", knobs=KnobValues())
        assert (off.texts, off.calls, engine.prompts) == ((), 0, [])
        two = expand(
            task="a bed for the night", knobs=KnobValues().replaced({"expansion.phrasings": 2})
        )
        both = expand(
            task="a bed for the night",
            knobs=KnobValues().replaced({"expansion.phrasings": 1, "expansion.hyde": True}),
        )
    assert (two.texts, two.calls) == (("Book a hotel in Porto", "book a train"), 1)
    assert (both.texts, both.calls) == (("Book a hotel in Porto", "books trains and hotels"), 2)


def test_an_expansion_that_repeats_the_task_or_cannot_be_read_adds_nothing():
    expand = ExpandQuery()
    repeating, _ = recorded_lm(lambda prompt: json.dumps({"phrasings": ["A  bed", " "]}))
    silent, _ = recorded_lm(lambda prompt: "hm")
    for lm in (repeating, silent):
        with dspy.context(lm=lm):
            assert (
                expand(task="a bed", knobs=KnobValues().replaced({"expansion.phrasings": 2})).texts
                == ()
            )


def test_expansions_move_the_ranking_by_their_weight(office):
    program = Delegator(office, HashedWords())
    lm, _ = recorded_lm(answers)
    task = "somewhere warm for the weekend, refund"
    for weight, first in ((0.0, "Refunds"), (1.0, "Travel")):
        program.knobs.set(
            {
                "lm.ask_settled": True,
                "expansion.phrasings": 2,
                "expansion.hyde": True,
                "expansion.weight": weight,
                "lm.repeats": 1,
                "retrieval.k": 4,
            }
        )
        with dspy.context(lm=lm):
            delegation = program(task)
        assert delegation.top3[0].name == first
        assert len(said_by_lm(delegation).expansions) == 3
        assert delegation.usage.lm_calls == 4


def test_a_task_is_embedded_and_scored_once_however_often_it_is_expanded(office, monkeypatch):
    embed, scored = CountingWords(), []
    program = Delegator(office, embed)
    program("warm up")
    monkeypatch.setattr(
        "task_delegator.retrieval.retrieve.score",
        lambda index, query, knobs, *out: scored.append(query.text) or score(index, query, knobs),
    )
    program.knobs.set(
        {
            "lm.ask_settled": True,
            "expansion.phrasings": 2,
            "expansion.hyde": True,
            "lm.repeats": 1,
            "retrieval.k": 4,
        }
    )
    lm, _ = recorded_lm(answers)
    embed.texts.clear()
    with dspy.context(lm=lm):
        program("somewhere warm for the weekend")
    once = ["somewhere warm for the weekend", "Book a hotel in Porto", "book a train",
            "books trains and hotels"]  # fmt: skip
    assert embed.texts == once
    assert scored == once


def test_the_rubric_is_asked_in_its_band_only(office):
    program = Delegator(office, HashedWords())
    program.knobs.set(
        {
            "lm.ask_settled": True,
            "lm.repeats": 1,
            "lm.weight": 1.0,
            "confidence.correct_with_lm.bias": 0.1,
            "confidence.correct_with_lm.logit": 0.0,
        }
    )
    lm, engine = recorded_lm(answers)
    for low, high, rubric in ((0.9, 1.0, None), (0.5, 0.6, 4)):
        program.knobs.set(
            {"lm.rubric_low": low, "lm.rubric_high": high, "confidence.correct_with_lm.rubric": 1.0}
        )
        with dspy.context(lm=lm):
            delegation = program("refund my order")
        assert delegation.rubric == rubric
    # One step above the middle of the scale, at weight 1.
    assert delegation.confidence == pytest.approx(1 / (1 + 2.718281828 ** -(0.1 + 1.0)))
    assert sum("rubric" in prompt for prompt in engine.prompts) == 1


def test_a_rating_that_cannot_be_read_is_none(office):
    lm, _ = recorded_lm(lambda prompt: json.dumps({"reasoning": "x", "rubric": 9}))
    with dspy.context(lm=lm):
        assert RateConfidence()(task="x", agents=list(office)[:3]).rubric is None
