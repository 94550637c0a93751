import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import dspy
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import recorded_lm
from small import ROOT, HashedWords, make_agent, office_registry

from optimize import __main__ as command
from optimize.data.checks import check, leaks
from optimize.data.dataset import Dataset, Request, load_dataset
from optimize.lm_stage.response_cache import ATTEMPTS, CachedPredict, ResponseCache
from optimize.synthesis import pipeline as synthesize
from optimize.synthesis import report as synthesis
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
from optimize.synthesis.spec import SynthesisSpec
from task_delegator.errors import InputError, LMError
from task_delegator.knobs import KnobValues
from task_delegator.retrieval.index_cache import IndexCache
from task_delegator.retrieval.retrieve import Retrieve
from task_delegator.signatures import VOICES

WANTED = SynthesisSpec(domains=("accounts payable", "fleet"), agents=3, requests=4)
CALLS = 2 * (1 + 3 + 3 * 2)  # per domain an outline, per agent an entry and two voices
SUBJECTS = (
    "invoices suppliers approval", "payments bank transfer", "expenses receipts refund",
    "vans repair workshop", "fuel cards petrol", "drivers licence renewal",
)  # fmt: skip
FRESH = ["amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "juniper"]


def field(prompt, name):
    """What a prompt says in its last field of this name."""
    return re.findall(rf"\[\[ ## {name} ## \]\]\n(.*?)(?=\n+\[\[|\n+Respond)", prompt, re.DOTALL)[
        -1
    ]


class Author:
    """Answer as an LM that follows its instructions, the same prompt always alike."""

    def __call__(self, prompt):
        if "`agents`" in prompt:
            return self.outline(prompt)
        if "`entry`" in prompt:
            return self.entry(prompt)
        if "`requests`" in prompt:
            return self.requests(prompt)
        return json.dumps({"slot": "A"})

    def outline(self, prompt):
        mine = SUBJECTS[:3] if "payable" in field(prompt, "domain") else SUBJECTS[3:]
        fresh = [s for s in mine if s not in field(prompt, "known")]
        rows = [{"name": f"{s.split()[0].title()} Desk", "scope": s} for s in fresh]
        return json.dumps({"agents": rows[: int(field(prompt, "number"))]})

    def entry(self, prompt):
        subject = field(prompt, "agent").split(": ")[1]
        samples = [f"{word} {subject} {word}s" for word in FRESH[:5]]
        about = {"description": subject, "instructions": "be exact", "tools": ["a.b"]}
        return json.dumps({"entry": {**about, "samples": samples}})

    def requests(self, prompt):
        _, subject, *_ = field(prompt, "agent").split(" - ")
        voice = field(prompt, "voice")
        seed = sum(map(ord, voice)) % 1000
        wanted = int(field(prompt, "number"))
        return json.dumps(
            {
                "requests": [
                    f"{subject} {voice.split()[-1]}{seed + i} case{i} of{seed}"
                    for i in range(wanted)
                ]
            }
        )


def written(tmp_path, answer=None, wanted=WANTED, name="out"):
    lm, engine = recorded_lm(answer or Author())
    return synthesize.synthesize(wanted, lm, HashedWords(), tmp_path / name), engine


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# The result


def test_what_is_synthesised_is_a_sound_dataset(tmp_path):
    report, engine = written(tmp_path)
    dataset = load_dataset(tmp_path / "out")
    assert check(dataset) == []
    assert {agent.domain for agent in dataset.registry} == set(WANTED.domains)
    assert all(len(agent.user_request_samples) == 5 for agent in dataset.registry)
    assert {name: len(requests) for name, requests in dataset.splits.items()} == {
        "train": 8, "validation": 8, "test": 8,
    }  # fmt: skip
    assert len(engine.prompts) == CALLS == WANTED.planned_calls == report["calls"]["made"]
    assert report["requests"]["kept"] == report["requests"]["written"] == 24
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert not (tmp_path / "out.work").exists()


def test_every_row_says_where_it_comes_from(tmp_path):
    written(tmp_path)
    out = tmp_path / "out"
    answers = {row["call"]: row for row in rows(out / "answers.jsonl")}
    sources = rows(out / "provenance.jsonl")
    assert all(row["lm"] == "recorded/model" and row["seed"] == 0 for row in sources)
    assert all(call in answers for row in sources for call in row["calls"])
    said = {row["user_request"]: row for row in sources if "user_request" in row}
    dataset = load_dataset(out)
    for name, requests in dataset.splits.items():
        for request in requests:
            row = said[request.text]
            assert (row["split"], row["agent"]) == (name, request.expected)
            assert row["voice"] in VOICES
            assert row["domain"] == dataset.registry[request.expected].domain
            assert request.text in answers[row["calls"][0]]["answer"]["requests"]
    entries = {row["agent"] for row in sources if "user_request" not in row}
    assert entries == {agent.name for agent in dataset.registry}


def test_requests_come_in_many_voices(tmp_path):
    report, _ = written(tmp_path)
    assert len(report["requests"]["voices"]) > len(VOICES) / 2
    sources = [row for row in rows(tmp_path / "out" / "provenance.jsonl") if "voice" in row]
    heard = {(row["agent"], row["voice"]) for row in sources}
    assert set(Counter(agent for agent, _ in heard).values()) == {2}


def test_what_filters_take_is_asked_for_again_in_another_voice(tmp_path):
    class Twice(Author):
        def requests(self, prompt):
            answer = super().requests(prompt)
            annoyed = VOICES["annoyed"] in prompt
            return json.dumps({"requests": ["yes"] * 2}) if annoyed else answer

    report, engine = written(tmp_path, Twice())
    assert report["requests"]["dropped"]["too short"] == report["requests"]["written"] - 24
    assert report["requests"]["kept"] == 24
    assert CALLS < len(engine.prompts) <= WANTED.call_limit
    assert {row["reason"] for row in rows(tmp_path / "out" / "dropped.jsonl")} == {"too short"}


def test_nothing_is_seen_of_a_dataset_that_could_not_be_written(tmp_path, monkeypatch):
    real = synthesis.write_text

    def full(path, text):
        if path.name == "validation.json":
            raise InputError(f"{path}: cannot be written: no space left")
        real(path, text)

    monkeypatch.setattr(synthesis, "write_text", full)
    with pytest.raises(InputError, match="no space left"):
        written(tmp_path)
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    _, engine = written(tmp_path)
    assert engine.prompts == []
    assert check(load_dataset(tmp_path / "out")) == []


@pytest.mark.slow
def test_a_program_can_be_compiled_for_it(tmp_path, monkeypatch, capsys):
    report, _ = written(tmp_path, wanted=SynthesisSpec(WANTED.domains, 3, 10))
    assert report["requests"]["compilable"]
    monkeypatch.chdir(tmp_path)
    compiled = ["compile", "--data", "out", "--no-lm", "--trials", "2", "--out", "program"]
    assert command.main(compiled) == 0
    assert (tmp_path / "program" / "manifest.json").is_file()


# Filters


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
    monkeypatch.delitem(FILTERS, reason)
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


# Answers: unreadable, too many, interrupted


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


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


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
def test_a_killed_process_goes_on(tmp_path):
    code = """
import os, pathlib, signal, sys
import test_synthesize as t
author, left = t.Author(), [5]
def answer(prompt):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return author(prompt)
t.written(pathlib.Path(sys.argv[1]), answer)
"""
    own, support = Path(__file__).parent, ROOT / "tests" / "support"
    paths = [str(path) for path in (own, support, ROOT, ROOT / "program")]
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


# What stands there already


def test_the_same_command_again_does_nothing(tmp_path):
    first, _ = written(tmp_path)
    again, engine = written(tmp_path)
    assert (again, engine.prompts) == (first, [])


def test_what_stands_there_of_other_settings_is_left_alone(tmp_path):
    written(tmp_path)
    before = files(tmp_path / "out")
    with pytest.raises(InputError, match="out: exists, with other settings"):
        written(tmp_path, wanted=SynthesisSpec(WANTED.domains, 3, 4, seed=1))
    assert files(tmp_path / "out") == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    for name in ("out", "out.work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "diary.txt").write_text("dear diary")
        with pytest.raises(InputError, match=f"{name}: (exists|holds)"):
            written(tmp_path)
        assert (tmp_path / name / "diary.txt").read_text() == "dear diary"
        (tmp_path / name / "diary.txt").unlink()
        (tmp_path / name).rmdir()


# The command


def run(monkeypatch, tmp_path, *arguments):
    lm, engine = recorded_lm(Author())
    monkeypatch.setattr("task_delegator.lm.language_model", lambda spec: lm)
    monkeypatch.setattr("task_delegator.embedders.embedder", lambda spec: HashedWords())
    return command.main(["synthesize", "--out", str(tmp_path / "out"), *arguments]), engine


def test_the_command_says_its_limit_and_prints_the_report(monkeypatch, tmp_path, capsys):
    code, engine = run(
        monkeypatch, tmp_path, "--domains", *WANTED.domains, "--agents", "3", "--requests", "4",
    )  # fmt: skip
    assert (code, len(engine.prompts)) == (0, CALLS)
    told = capsys.readouterr()
    assert told.err.startswith(f"{CALLS} LM calls are needed, at most {3 * CALLS} are made")
    assert json.loads(told.out)["requests"]["kept"] == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--domains: name at least one"),
        (["--domains", " "], "--domains: name at least one"),
        (["--domains", "fleet", "Fleet"], "--domains: one is named twice"),
        (["--domains", "fleet", "--agents", "1"], "--agents 1: a domain needs at least 2"),
        (["--domains", "fleet", "--requests", "0"], "--requests 0: an agent needs at least 1"),
        (
            ["--domains", "fleet", "--agents", "3", "--requests", "4", "--max-lm-calls", "9"],
            "--max-lm-calls 9: 10 are needed",
        ),
        (["--domains", "fleet", "--no-lm"], "synthesize needs an LM: leave out --no-lm"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, tmp_path, capsys, arguments, message):
    code, engine = run(monkeypatch, tmp_path, *arguments)
    assert (code, engine.prompts) == (2, [])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("optimize synthesize: ")
    assert message in line
    assert not (tmp_path / "out.work").exists()


def test_an_unknown_lm_is_one_line_and_exit_code_2(tmp_path, capsys):
    command_line = [
        "synthesize",
        "--domains",
        "fleet",
        "--lm",
        "nonsense",
        "--out",
        str(tmp_path / "out"),
    ]
    assert command.main(command_line) == 2
    assert "unknown LM 'nonsense'" in capsys.readouterr().err
