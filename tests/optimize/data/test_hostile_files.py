"""Whatever stands in the place of a dataset's file or of a log: one line, exit code 2, and soon."""

import pytest
from hostile import CONTENTS, SPECIAL, folder, refuses
from small import small_dataset

from optimize.__main__ import main

READ = {  # each kind of file, by the command that reads it, and its name
    "agents": ("d/agents.json", ["evaluate", "default", "--no-lm", "--data", "d"]),
    "ground truth": ("d/ground_truth.json", ["evaluate", "default", "--no-lm", "--data", "d"]),
    "train": ("d/train.json", ["merge", "log.jsonl", "--data", "d"]),
    "validation": ("d/validation.json", ["compile", "--no-lm", "--data", "d", "--out", "p"]),
    "out of scope": ("d/out_of_scope.json", ["compile", "--no-lm", "--data", "d", "--out", "p"]),
    "multi": ("d/multi.json", ["plans", "default", "--data", "d"]),
    "feedback": ("log.jsonl", ["merge", "log.jsonl", "--data", "d"]),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a dataset and a log of feedback, where the commands run."""
    monkeypatch.chdir(tmp_path)
    small_dataset(tmp_path / "d", agents=5)
    (tmp_path / "log.jsonl").write_text('{"task": "x", "correct_agent": null}\n')
    return tmp_path


@pytest.mark.fault(
    "hostile content",
    "the files of a dataset, a log of feedback",
    holds="One line, exit code 2, within 5 seconds.",
)
@pytest.mark.parametrize("kind", READ)
def test_no_content_of_a_file_is_more_than_a_line(kind, place, capsys):
    name, command = READ[kind]
    faults = {}
    for label, content in CONTENTS.items():
        (place / name).write_bytes(content + b"\n")  # else a line of a log is torn
        if fault := refuses(main, place / name, command, capsys):
            faults[label] = fault
    assert faults == {}


@pytest.mark.fault(
    "no regular file",
    "FIFO, device, folder or link in the place of a dataset's file or a log",
    holds="One line, exit code 2, within 5 seconds; no other file is shown.",
)
@pytest.mark.parametrize("kind", READ)
def test_what_is_no_file_is_refused_in_a_line(kind, place, capsys):
    name, command = READ[kind]
    faults = {}
    for make in SPECIAL:
        (place / name).unlink(missing_ok=True)
        make(place / name)
        if fault := refuses(main, place / name, command, capsys):
            faults[make.__name__] = fault
        (place / name).rmdir() if make is folder else (place / name).unlink()
    assert faults == {}


def test_plans_need_tasks_for_several_agents(place, capsys):
    assert refuses(main, place, READ["multi"][1], capsys) == ""
