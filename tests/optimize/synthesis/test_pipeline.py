"""What is synthesized is a sound dataset, and says where each row comes from."""

import json
from collections import Counter

import pytest
from author import CALLS, WANTED, Author, files, rows, written
from recorded import recorded_lm
from small import HashedWords

from optimize import __main__ as command
from optimize.data.checks import check
from optimize.data.dataset import load_dataset
from optimize.synthesis import report as synthesis
from optimize.synthesis.spec import SynthesisSpec
from task_delegator.errors import InputError
from task_delegator.signatures import VOICES


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


def run(monkeypatch, tmp_path, *arguments):
    lm, engine = recorded_lm(Author())
    monkeypatch.setattr("optimize.recorded.language_model", lambda spec: lm)
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
