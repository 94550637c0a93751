import json
import sys
from types import SimpleNamespace

import dspy
import pytest
from small import ROOT, HashedWords, make_agent, public, small_dataset

from experiments.__main__ import main
from experiments.support.recorded_data import recorded, restrict, write
from optimize.data import load_dataset
from optimize.evaluation import evaluate
from optimize.recorded import recorded_lm
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError


@pytest.fixture
def dataset(tmp_path):
    return load_dataset(small_dataset(tmp_path / "data"), enriched=False)


def answered(dataset, folder, *extra):
    """Record that the labelled agent is right, of every second request."""
    folder.mkdir()
    rows = [
        {"split": split, "task": r.text, "probs": {r.expected: 0.9}, "none": 0.1}
        for split in ("validation", "test")
        for r in dataset.splits[split][::2]
    ]
    rows += [
        {"split": "test", "task": text, "probs": {}, "none": 1.0}
        for text in dataset.out_of_scope["test"][:3]
    ]
    rows.append({"kind": "registry", "agents": [agent.name for agent in dataset.registry]})
    text = "".join(json.dumps(row) + "\n" for row in [*rows, *extra])
    (folder / "data.jsonl").write_text(text)
    return folder


def test_a_program_is_evaluated_on_exactly_the_recorded_requests(dataset, tmp_path):
    answers = answered(dataset, tmp_path / "answers")
    part = restrict(dataset, answers, "data")
    assert part.splits["test"] == dataset.splits["test"][::2]
    assert part.splits["train"] == dataset.splits["train"]
    assert [len(texts) for texts in part.out_of_scope.values()][1:] == [0, 3]
    program = Delegator(part.registry, HashedWords(), on_lm_failure="raise")
    program.knobs.set({"lm.ask_settled": True, "lm.weight": 1.0})
    lm = recorded_lm(f"recorded:{answers}")
    report = evaluate(program, part, "test", name="asks", lm=lm)
    assert report.n == len(part.splits["test"])
    assert report.top1 == 1.0
    with pytest.raises(Exception, match="no answer to this task"), dspy.context(lm=lm):
        program(dataset.splits["test"][1].text)


def test_the_part_can_be_written_and_read(dataset, tmp_path):
    part = restrict(dataset, answered(dataset, tmp_path / "answers"), "data")
    write(part, tmp_path / "part")
    again = load_dataset(tmp_path / "part", enriched=False)
    assert again.splits == part.splits
    assert again.out_of_scope == part.out_of_scope
    assert list(again.registry) == list(part.registry)
    with pytest.raises(InputError, match="cannot be made"):
        write(part, tmp_path / "part")


def test_answers_over_another_registry_are_refused(dataset, tmp_path):
    row = {"split": "test", "task": "nobody asked", "probs": {}, "none": 1.0}
    with pytest.raises(InputError, match="1 recorded tasks are no requests of their split"):
        restrict(dataset, answered(dataset, tmp_path / "one", row), "data")
    other = {"kind": "registry", "agents": [make_agent("Catering").name]}
    with pytest.raises(InputError, match="is named 'Catering'"):
        restrict(dataset, answered(dataset, tmp_path / "two", other), "data")


def test_the_command_writes_a_part_or_says_why_not(dataset, tmp_path, monkeypatch, capsys):
    part = restrict(dataset, answered(dataset, tmp_path / "answers"), "data")
    monkeypatch.setattr("experiments.__main__.recorded", lambda name: part)
    command = ["experiments", "--recorded-data", "data", str(tmp_path / "part")]
    monkeypatch.setattr(sys, "argv", command)
    assert (main(), main()) == (0, 2)
    said = capsys.readouterr()
    assert f"test {len(part.splits['test'])}" in said.out
    assert "cannot be made" in said.err


def test_a_study_is_asked_with_another_lm_where_it_takes_one(monkeypatch, capsys):
    specs = []

    def run(quick, lm="embedded"):
        specs.append((quick, lm))
        return []

    studies = {"order": SimpleNamespace(run=lambda quick: []), "default": SimpleNamespace(run=run)}
    monkeypatch.setattr("experiments.__main__.studies.study", studies.get)
    lm = "recorded:answers"
    monkeypatch.setattr(sys, "argv", ["experiments", "default", "--lm", lm])
    assert main() == 0
    assert specs == [(False, lm)]
    assert capsys.readouterr().out.strip() == "[]"
    monkeypatch.setattr(sys, "argv", ["experiments", "order", "--lm", lm])
    assert main() == 2
    assert "order: takes no --lm" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("ours", (210, 280)), ("banking77", (100, 200)), ("clinc150", (100, 200)), ("hwu64", (100, 200))],
)  # fmt: skip
def test_the_recorded_parts_are_there(name, sizes, monkeypatch):
    answers = public("lm_answers")
    monkeypatch.chdir(ROOT)
    part = recorded(name, answers)
    assert tuple(len(part.splits[split]) for split in ("validation", "test")) == sizes
