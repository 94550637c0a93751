"""Kept answers: what an LM was asked in another way is another question."""

import json

import dspy
from recorded import recorded_lm
from small import office_registry

from optimize.lm_stage import CachedClassify, ResponseCache
from task_delegator.knobs import LMKnobs
from task_delegator.signatures import SelectAgent
from task_delegator.stages import Shortlist


def everything(prompt: str) -> str:
    """Answer every field that some way of asking has."""
    said = {"slot": "B", "ranking": [{"slot": "B", "probability": 0.9}]}
    if "rubric" in prompt:
        said |= {"rubric": 4, "reason": "It pays."}
    return json.dumps(said)


def test_every_way_of_asking_is_kept_by_itself_and_whole(tmp_path):
    lm, engine = recorded_lm(everything)
    shortlist = Shortlist(tuple(office_registry()))
    ways = [
        LMKnobs(answer="slot", repeats=1),
        LMKnobs(answer="ranking", repeats=1),
        LMKnobs(answer="ranking", explain=True, repeats=1),
    ]

    def ask_all():
        with (
            ResponseCache(tmp_path / "answers.jsonl", 10) as answers,
            dspy.context(lm=lm, adapter=dspy.JSONAdapter()),
        ):
            stage = CachedClassify(dspy.Predict(SelectAgent), answers)
            return [stage.ask("pay", shortlist, knobs) for knobs in ways]

    first = ask_all()
    assert len(engine.prompts) == 3
    assert [said.belief.source for said in first] == ["answer", "verbalized", "verbalized"]
    assert [(said.rubric, said.reason) for said in first] == [
        (None, ""),
        (None, ""),
        (4, "It pays."),
    ]
    assert ask_all() == first
    assert len(engine.prompts) == 3
