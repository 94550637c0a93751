"""Feedback merged into a dataset: each outcome once, by one process at a time."""

import json
import os
import time

import pytest
from children import end_of, killed_before, on_a_full_disk, start_child
from small import small_dataset

from optimize.__main__ import main
from optimize.data import feedback as merging
from optimize.data.dataset import load_dataset
from optimize.data.feedback import _append, merge, merge_rows
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback
from task_delegator.system import append_row


def test_outcomes_become_ground_truth_once(tmp_path):
    folder = small_dataset(tmp_path / "data", agents=5)
    dataset = load_dataset(folder)
    known = dataset.splits["test"][0]
    other = next(a.name for a in dataset.registry if a.name != known.expected)
    log = tmp_path / "f.jsonl"
    for task, agent in [
        ("a new thing that nobody asked before", known.expected),
        ("A new thing  that nobody asked before", known.expected),
        ("a request for nobody at all", None),
        (known.text, known.expected),
        ("disputed by two people", known.expected),
        ("for an agent that left", "Gone"),
        (dataset.splits["train"][0].text, None),
        (dataset.out_of_scope["test"][0], known.expected),
    ]:
        append_row(log, Feedback(task=task, correct_agent=agent, source="desk", time="2026-01-01"))
    append_row(log, Feedback(task="disputed by two people", correct_agent=other, source="ann"))
    found = merge(log, folder)
    assert (found.added, found.out_of_scope, found.known) == (1, 1, 1)
    assert found.conflicts == (  # and what contradicts a label
        "disputed by two people", dataset.splits["train"][0].text, dataset.out_of_scope["test"][0]
    )  # fmt: skip
    assert found.unknown == ("Gone",)
    after = load_dataset(folder)
    assert len(after.splits["train"]) == len(dataset.splits["train"]) + 1
    assert "a request for nobody at all" in after.out_of_scope["train"]
    row = json.loads((folder / "train.json").read_text())[-1]
    assert row["provenance"] == {"feedback": "desk", "time": "2026-01-01"}
    assert merge(log, folder).added == 0  # a second time adds nothing


def test_the_last_word_of_a_person_counts_wherever_it_was_said(tmp_path):
    folder = small_dataset(tmp_path / "data", agents=5)
    first, second = [agent.name for agent in load_dataset(folder).registry][:2]

    def said(task, agent, hour, source="ann", request_id=None):
        time = f"2026-01-01T{hour:02}:00:00+00:00"
        return Feedback(
            task=task, correct_agent=agent, source=source, time=time, request_id=request_id
        )

    of_a_file = [said("zebras", first, 9), said("lions", second, 12, request_id="a")]
    of_mlflow = [said("Zebras", second, 10, request_id="z"), said("lions", first, 11)]
    disputed = [said("tigers", first, 9), said("tigers", second, 9, source="ben")]
    found = merge_rows([*of_a_file, *of_mlflow, *disputed], folder)
    assert (found.added, found.conflicts) == (2, ("tigers",))
    labels = {r.text: r.expected for r in load_dataset(folder).splits["train"]}
    assert (labels["Zebras"], labels["lions"]) == (second, second)


def test_an_answer_that_contradicts_a_sample_is_a_conflict(tmp_path):
    folder = small_dataset(tmp_path / "data", agents=5)
    one, other = list(load_dataset(folder).registry)[:2]
    sample, same = one.user_request_samples[:2]
    rows = [Feedback(task=sample, correct_agent=other.name)]
    rows.append(Feedback(task=same, correct_agent=one.name))
    found = merge_rows(rows, folder)
    assert (found.conflicts, found.known, found.added) == ((sample,), 1, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault("two writers", "`merge`", holds="They take turns; nothing is lost.")
def test_merges_at_once_add_what_each_says(tmp_path, monkeypatch):
    write = merging.write_text
    monkeypatch.setattr(merging, "write_text", lambda *given: (time.sleep(0.2), write(*given)))
    folder = small_dataset(tmp_path / "data", agents=5)
    before = len(load_dataset(folder).splits["train"])
    agent = next(iter(load_dataset(folder).registry)).name

    def merge_ten(number):
        log = tmp_path / f"{number}.jsonl"
        for task in range(10):
            append_row(log, Feedback(task=f"zebra {number} of {task}", correct_agent=agent))
        assert merge(log, folder).added == 10

    children = [start_child(lambda n=number: merge_ten(n)) for number in range(3)]
    assert [end_of(child) for child in children] == [0] * 3
    assert len(load_dataset(folder).splits["train"]) == before + 30
    assert not list(folder.glob(".*"))


def dataset_with_two_outcomes(folder):
    """Write a dataset and a log with a request for an agent and one for nobody."""
    data, log = small_dataset(folder / "data", agents=5), folder / "f.jsonl"
    agent = next(iter(load_dataset(data).registry)).name
    for task, correct in (("zebras first", agent), ("a thing for nobody", None)):
        append_row(log, Feedback(task=task, correct_agent=correct))
    return data, log


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault(
    "kill -9",
    "`merge`, at each call of the system",
    holds="The next merge does it; each file is the old or the new.",
)
def test_a_merge_killed_at_any_step_is_done_by_the_next(tmp_path):
    data, log = dataset_with_two_outcomes(tmp_path / "whole")
    before = contents(data)
    merge(log, data)
    after, step, killed = contents(data), 0, True
    while killed:
        data, log = dataset_with_two_outcomes(tmp_path / str(step))
        killed = killed_before(step, lambda to=data, source=log: merge(source, to))
        for name, content in contents(data).items():
            if not name.endswith((".lock", ".partial")):
                assert content in (before.get(name), after[name])
        merge(log, data)
        assert contents(data) == after
        step += 1
    assert step > 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault("full disk", "`merge`", holds="One line; the dataset is as it was.")
def test_a_full_disk_leaves_the_dataset_as_it_was(tmp_path):
    data, log = dataset_with_two_outcomes(tmp_path)
    before = contents(data)

    def fill():
        with pytest.raises(InputError, match="cannot be written: File too large"):
            merge(log, data)

    assert on_a_full_disk(100, fill) == 0
    assert contents(data) == before
    assert merge(log, data).added == 1


@pytest.mark.parametrize("split", ["train", "validation"])
def test_what_is_for_nobody_is_told_where_it_counts(tmp_path, capsys, split):
    data, log = dataset_with_two_outcomes(tmp_path)
    assert main(["merge", str(log), "--data", str(data), "--split", split]) == 0
    told = "what is for nobody (1) went to train" in capsys.readouterr().err
    assert told == (split == "train")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_option_that_makes_corrections_count_is_told(tmp_path, capsys, split):
    """Three train requests of each agent are there; one more of one agent makes four."""
    data, log = dataset_with_two_outcomes(tmp_path)
    assert main(["merge", str(log), "--data", str(data), "--split", split]) == 0
    told = "with --samples-from-train 4 all of it counts" in capsys.readouterr().err
    assert told == (split == "train")


LAYOUTS = {
    "one": lambda rows: json.dumps(rows, indent=1, ensure_ascii=False) + "\n",
    "four, escaped, no newline at the end": lambda rows: json.dumps(rows, indent=4),
    "tabs": lambda rows: json.dumps(rows, indent="\t", ensure_ascii=False) + "\n",
    "a row per line": lambda rows: "[\n " + ",\n ".join(map(json.dumps, rows)) + "\n]\n",
    "one line": json.dumps,
    "Windows": lambda rows: json.dumps(rows, indent=2).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_merge_adds_lines_and_keeps_those_that_are_there(tmp_path, layout):
    folder = small_dataset(tmp_path / "data", agents=5)
    path = folder / "train.json"
    before = json.loads(path.read_text())
    before[0]["note"] = "für Zoë"
    path.write_bytes(layout(before).encode())
    held = path.read_bytes()
    agent, log = before[0]["expected_agent_name"], tmp_path / "f.jsonl"
    for task in ("zebras first", "eine ärgerliche Rechnung"):
        append_row(log, Feedback(task=task, correct_agent=agent))
    assert merge(log, folder).added == 2
    text = path.read_bytes()
    added = [row["user_requests"] for row in json.loads(text)[len(before) :]]
    assert added == [["zebras first"], ["eine ärgerliche Rechnung"]]  # in the log's order
    kept = held.rstrip().removesuffix(b"]").rstrip()
    assert text.startswith(kept)
    assert text.endswith(held[len(kept) :])
    # A row that is merged looks as if it had been there from the beginning.
    assert text == layout(json.loads(text)).encode()


def test_a_merge_makes_the_file_that_is_not_there(tmp_path):
    folder = small_dataset(tmp_path / "data", agents=5)
    (folder / "out_of_scope.json").unlink()
    (folder / "validation.json").write_text("[]")
    agent, log = next(iter(load_dataset(folder).registry)).name, tmp_path / "f.jsonl"
    append_row(log, Feedback(task="for nobody", correct_agent=None))
    append_row(log, Feedback(task="for somebody", correct_agent=agent))
    merge(log, folder, split="validation")
    assert load_dataset(folder).out_of_scope["validation"] == ("for nobody",)
    for name in ("out_of_scope.json", "validation.json"):
        text = (folder / name).read_text()
        assert text == json.dumps(json.loads(text), indent=1) + "\n"


def test_feedback_never_goes_into_the_test_split(tmp_path):
    folder = small_dataset(tmp_path / "data", agents=5)
    with pytest.raises(InputError, match="feedback goes to train or validation"):
        merge(tmp_path / "f.jsonl", folder, split="test")


def test_a_file_behind_a_byte_order_mark_keeps_its_rows(tmp_path):
    path = tmp_path / "train.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([{"a": 1}, {"a": 2}], indent=1).encode())
    _append(path, [{"a": 3}])
    assert json.loads(path.read_text(encoding="utf-8-sig")) == [{"a": 1}, {"a": 2}, {"a": 3}]
