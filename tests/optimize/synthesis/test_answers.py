"""LM answers of a synthesis: unreadable, too many, interrupted; none is asked for twice."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import dspy
import pydantic
import pytest
from author import CALLS, WANTED, Author, files, rows, written
from recorded import recorded_lm
from small import ROOT, HashedWords

from optimize.lm_stage.response_cache import ATTEMPTS, CachedPredict, ResponseCache
from optimize.synthesis import pipeline as synthesize
from optimize.synthesis.spec import SynthesisSpec
from task_delegator.errors import InputError, LMError


class Stammer(Author):
    """Cannot be read when it first hears a prompt."""

    def __init__(self) -> None:
        self.heard: set[str] = set()

    def __call__(self, prompt):
        if prompt in self.heard:
            return super().__call__(prompt)
        self.heard.add(prompt)
        return super().__call__(prompt)[:-9]  # cut off


def test_an_answer_that_cannot_be_read_is_counted_and_asked_for_again(tmp_path):
    report, engine = written(tmp_path, Stammer())
    stages = report["calls"]["stages"]
    assert {name: stage["unreadable"] for name, stage in stages.items()} == {
        "outline": 2, "agent": 6, "requests": 12,
    }  # fmt: skip
    assert len(engine.prompts) == 2 * CALLS
    lost = [row for row in rows(tmp_path / "out" / "answers.jsonl") if row["answer"] is None]
    assert len(lost) == CALLS
    assert all(row["unreadable"] for row in lost)


def test_an_lm_that_cannot_be_read_is_given_up(tmp_path):
    with pytest.raises(
        LMError, match="domain 'accounts payable': the LM wrote 0 usable agents of 3"
    ):
        written(tmp_path, lambda prompt: "sorry")
    assert len(rows(tmp_path / "out.work" / "answers.jsonl")) == 3 * ATTEMPTS


def test_an_lm_whose_requests_are_of_no_use_is_given_up_with_a_report(tmp_path):
    class Curt(Author):
        def requests(self, prompt):
            return '{"requests": ["yes", "no"]}'

    with pytest.raises(LMError, match="0 requests passed, none for the train split"):
        written(tmp_path, Curt())
    report = json.loads((tmp_path / "out.work" / "report.json").read_text())
    assert set(report["requests"]["dropped"]) == {"too short"}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("limit", [CALLS, CALLS + 7, 2 * CALLS - 1])
def test_the_limit_is_hard_and_a_higher_one_goes_on(tmp_path, limit):
    author = Stammer()  # needs twice as many
    with pytest.raises(InputError, match="limit of LM calls is reached"):
        written(tmp_path, author, SynthesisSpec(WANTED.domains, 3, 4, limit))
    assert len(rows(tmp_path / "out.work" / "answers.jsonl")) == limit
    assert not (tmp_path / "out").exists()
    report, engine = written(tmp_path, author, SynthesisSpec(WANTED.domains, 3, 4, 2 * CALLS))
    assert len(engine.prompts) == 2 * CALLS - limit
    assert report["calls"]["made"] == report["calls"]["limit"] == 2 * CALLS


def test_more_is_not_asked_for_where_the_limit_leaves_no_room(tmp_path):
    class Half(Author):
        def requests(self, prompt):
            return json.dumps({"requests": json.loads(super().requests(prompt))["requests"][:1]})

    report, engine = written(tmp_path, Half(), SynthesisSpec(WANTED.domains, 3, 4, CALLS + 2))
    assert len(engine.prompts) == CALLS + 2
    assert report["calls"]["limit_reached"]
    assert report["requests"]["kept"] == 14
    assert set(report["requests"]["short"].values()) == {2, 3}


class Killed(BaseException):
    """Ends a run as no handler expects."""


@pytest.mark.slow
def test_a_run_that_was_stopped_anywhere_goes_on_and_asks_nothing_twice(tmp_path):
    _, whole = written(tmp_path, name="whole")
    for after in range(0, CALLS, 3):
        left = [after]

        def answer(prompt, left=left):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return Author()(prompt)

        name = f"after{after}"
        with pytest.raises(Killed):
            written(tmp_path, answer, name=name)
        assert not (tmp_path / name).exists()
        _, engine = written(tmp_path, name=name)
        assert engine.prompts == whole.prompts[after:]
        assert files(tmp_path / name) == files(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.fault("kill -9", "`synthesize`", holds="The same command goes on.")
def test_a_killed_process_goes_on(tmp_path):
    code = """
import os, pathlib, signal, sys
import author as t
author, left = t.Author(), [5]
def answer(prompt):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return author(prompt)
t.written(pathlib.Path(sys.argv[1]), answer)
"""
    paths = [str(path) for path in (ROOT / "tests" / "support", ROOT, ROOT / "program")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert not (tmp_path / "out").exists()
    _, engine = written(tmp_path)
    assert len(engine.prompts) == CALLS - 5


def test_an_answer_to_another_wording_is_not_taken(tmp_path):
    def asking(wording) -> Any:
        part: Any = pydantic.create_model("Part", said=(str, pydantic.Field(description=wording)))
        fields = {"text": (str, dspy.InputField(desc="x"))}
        return dspy.make_signature(fields | {"part": (part, dspy.OutputField(desc="y"))})

    lm, engine = recorded_lm(lambda prompt: '{"part": {"said": "yes"}}')
    with ResponseCache(tmp_path / "answers.jsonl", 9) as answers, dspy.context(lm=lm):
        for wording in ("one", "other", "one"):
            found = CachedPredict("test", asking(wording), answers)(text="a")
            assert found.answer["part"].said == "yes"
    assert len(engine.prompts) == 2


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path):
    path = tmp_path / "answers.jsonl"
    with ResponseCache(path, 9) as answers:
        answers.get("a", {"n": 1}, lambda: {"answer": 1})
    with path.open("a") as file:
        file.write('{"call": "half')
    with ResponseCache(path, 9) as answers:
        assert answers.get("a", {"n": 2}, lambda: {"answer": 2})
        assert answers.room == 7
    assert [row["answer"] for row in rows(path)] == [1, 2]


def test_a_run_killed_before_it_asked_anything_goes_on(tmp_path):
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "identity.json.1a2b3c4d.partial").write_text("{")
    assert written(tmp_path)[0]["requests"]["kept"] == 24


def test_two_runs_do_not_share_a_work_folder(tmp_path):
    path = tmp_path / "answers.jsonl"
    with ResponseCache(path, 9), pytest.raises(InputError, match="another run writes there"):
        ResponseCache(path, 9)
    ResponseCache(path, 9).__exit__(None, None, None)  # free again


def test_a_file_that_holds_no_answers_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("a diary\n")
    with pytest.raises(InputError, match="is no file of LM answers"):
        ResponseCache(path, 9)
    assert path.read_text() == "a diary\n"


def test_an_lm_that_cannot_be_reached_is_one_line_and_the_run_goes_on(tmp_path):
    left = [4]

    def answer(prompt):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("connection lost\nat line 2")
        return Author()(prompt)

    with pytest.raises(LMError, match="did not answer") as caught:
        written(tmp_path, answer)
    assert "\n" not in str(caught.value)
    assert len(written(tmp_path)[1].prompts) == CALLS - 4


def test_an_lm_that_only_decides_is_refused(tmp_path):
    lm, engine = recorded_lm(Author())
    lm.supports_decision_requests = True
    with pytest.raises(LMError, match="only decides"):
        synthesize.synthesize(WANTED, lm, HashedWords(), tmp_path / "out")
    assert engine.prompts == []
