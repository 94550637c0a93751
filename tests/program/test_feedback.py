import json
import os
import signal
import time

import numpy as np
import pytest
from children import end_of, in_child, killed_before, on_a_full_disk, start_child
from hypothesis import given
from hypothesis import strategies as st
from small import HashedWords, small_dataset

from optimize.data import feedback as merging
from optimize.data.dataset import load_dataset
from optimize.data.feedback import merge
from optimize.evaluation.drift import compare_with_confidence, drift
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback, append, read_feedback, record


def test_a_delegation_and_its_outcome_are_appended(tmp_path, office):
    log = tmp_path / "feedback.jsonl"
    delegation = Delegator(office, HashedWords())("refund my order")
    record(log, delegation, "Refunds", source="desk")
    record(log, delegation, None)
    first, second = read_feedback(log)
    assert (first.agent, first.correct_agent, first.correct) == ("Refunds", "Refunds", True)
    assert (first.decision, first.confidence) == (delegation.decision, delegation.confidence)
    assert (second.correct_agent, second.correct) == (None, False)


@given(st.text(min_size=1).filter(lambda t: t.strip()), st.floats(0, 1))
def test_feedback_survives_a_round_trip(tmp_path_factory, task, confidence):
    log = tmp_path_factory.mktemp("log") / "f.jsonl"
    row = Feedback(task=task, correct_agent="x", decision="review", confidence=confidence)
    try:
        task.encode()
    except UnicodeEncodeError:
        return  # lone surrogates are no text that JSON carries
    append(log, row)
    assert list(read_feedback(log)) == [row]


def test_feedback_without_a_delegation_states_no_confidence(tmp_path):
    log = tmp_path / "f.jsonl"
    append(log, Feedback(task="bake a cake", correct_agent=None))
    assert json.loads(log.read_text()) == {
        "task": "bake a cake", "correct_agent": None, "agent": None, "decision": None,
        "confidence": None, "time": "", "source": "",
    }  # fmt: skip


def test_rows_that_once_said_zero_for_no_confidence_are_read_as_none(tmp_path):
    log = tmp_path / "f.jsonl"
    said = {"task": "b", "correct_agent": "x", "agent": "x", "decision": "none", "confidence": 0.0}
    unsaid = {"task": "a", "correct_agent": "x", "agent": None, "decision": "", "confidence": 0.0}
    log.write_text(json.dumps(unsaid) + "\n" + json.dumps(said) + "\n")
    old, new = read_feedback(log)
    assert (old.decision, old.confidence) == (None, None)
    assert (new.decision, new.confidence) == ("none", 0.0)


@pytest.mark.parametrize("decision", ["assign", None])
def test_rows_without_a_delegation_do_not_count_as_drift(tmp_path, decision):
    log = tmp_path / "f.jsonl"
    stated = {"decision": decision, "confidence": decision and 0.99}
    for number in range(40):
        append(log, Feedback(task=f"t{number}", agent="a", correct_agent="a", **stated))
        append(log, Feedback(task=f"u{number}", correct_agent="b"))
    if decision:
        found = drift(log)
        assert (found.n, found.accuracy, found.fits) == (40, 1.0, True)
    else:
        with pytest.raises(InputError, match="no delegation with a confidence"):
            drift(log)


@pytest.mark.parametrize(("start", "newline"), [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_feedback_is_read_as_windows_writes_text(tmp_path, start, newline):
    log = tmp_path / "f.jsonl"
    rows = [json.dumps({"task": task, "correct_agent": "x"}) for task in ("a", "b")]
    log.write_bytes((start + newline.join([*rows, ""])).encode())
    assert [row.task for row in read_feedback(log)] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: broken JSON"),
        ("[" * 99_999, "line 2: broken JSON: nested deeper"),
        ("1" * 5_000, "line 2: broken JSON: a number has too many digits"),
        ('{"task": "a", "task": "b"}', "line 2: broken JSON: an object has the key 'task' twice"),
        ('{"task": "x", "correct_agent": "x", "decision": "assign"}', "line 2: .*both or neither"),
        ('{"task": "x", "correct_agent": "x", "confidence": 0.5}', "line 2: .*both or neither"),
        ('{"task": "x", "correct_agent": "x", "decision": "maybe"}', "line 2: decision"),
        ('{"task": "x"}', "line 2: correct_agent: Field required"),
        ('{"task": " ", "correct_agent": "x"}', "line 2: task: Value error, is empty"),
        ('{"task": "x", "correct_agent": "x", "confidence": 2}', "line 2: confidence"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    log = tmp_path / "f.jsonl"
    log.write_text('{"task": "a", "correct_agent": null}\n' + line + "\n")
    with pytest.raises(InputError, match=message):
        list(read_feedback(log))


def test_a_log_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        append(tmp_path, Feedback(task="x", correct_agent=None))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_feedback(tmp_path / "missing"))


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
        ("disputed by two people", other),
        ("for an agent that left", "Gone"),
    ]:
        append(log, Feedback(task=task, correct_agent=agent, source="desk", time="2026-01-01"))
    found = merge(log, folder)
    assert (found.added, found.out_of_scope, found.known) == (1, 1, 1)
    assert found.conflicts == ("disputed by two people",)
    assert found.unknown == ("Gone",)
    after = load_dataset(folder)
    assert len(after.splits["train"]) == len(dataset.splits["train"]) + 1
    assert "a request for nobody at all" in after.out_of_scope["train"]
    row = json.loads((folder / "train.json").read_text())[-1]
    assert row["provenance"] == {"feedback": "desk", "time": "2026-01-01"}
    assert merge(log, folder).added == 0  # a second time adds nothing


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_merges_at_once_add_what_each_says(tmp_path, monkeypatch):
    write = merging.write_text
    monkeypatch.setattr(merging, "write_text", lambda *given: (time.sleep(0.2), write(*given)))
    folder = small_dataset(tmp_path / "data", agents=5)
    before = len(load_dataset(folder).splits["train"])
    agent = next(iter(load_dataset(folder).registry)).name

    def merge_ten(number):
        log = tmp_path / f"{number}.jsonl"
        for task in range(10):
            append(log, Feedback(task=f"zebra {number} of {task}", correct_agent=agent))
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
        append(log, Feedback(task=task, correct_agent=correct))
    return data, log


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
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
def test_a_full_disk_leaves_the_dataset_as_it_was(tmp_path):
    data, log = dataset_with_two_outcomes(tmp_path)
    before = contents(data)

    def fill():
        with pytest.raises(InputError, match="cannot be written: File too large"):
            merge(log, data)

    assert on_a_full_disk(100, fill) == 0
    assert contents(data) == before
    assert merge(log, data).added == 1


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
        append(log, Feedback(task=task, correct_agent=agent))
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
    append(log, Feedback(task="for nobody", correct_agent=None))
    append(log, Feedback(task="for somebody", correct_agent=agent))
    merge(log, folder, split="validation")
    assert load_dataset(folder).out_of_scope["validation"] == ("for nobody",)
    for name in ("out_of_scope.json", "validation.json"):
        text = (folder / name).read_text()
        assert text == json.dumps(json.loads(text), indent=1) + "\n"


def test_feedback_never_goes_into_the_test_split(tmp_path):
    folder = small_dataset(tmp_path / "data", agents=5)
    with pytest.raises(InputError, match="feedback goes to train or validation"):
        merge(tmp_path / "f.jsonl", folder, split="test")


@pytest.mark.parametrize(("honest", "fits"), [(True, True), (False, False)])
def test_drift_is_told_from_chance(tmp_path, honest, fits):
    rng = np.random.default_rng(0)
    log = tmp_path / "f.jsonl"
    for stated in rng.uniform(0.5, 1.0, 300):
        right = rng.random() < (stated if honest else stated - 0.3)
        row = Feedback(
            task="t",
            agent="a",
            correct_agent="a" if right else "b",
            decision="assign" if stated > 0.9 else "review",
            confidence=float(stated),
        )
        append(log, row)
    found = drift(log)
    assert found.fits is fits
    assert found.n == 300
    assert 0 < found.assigned < 300


def log_of(rng, n, shift=0.0, threshold=0.9, reviewed=1.0, assigned=1.0, confirmed=1.0):
    """Return outcomes of delegations.

    Args:
        shift: how far the confidence is above the truth.
        reviewed, assigned: shares of either decision that are recorded.
        confirmed: share of the right outcomes that is recorded; every wrong one is.
    """
    rows = []
    while len(rows) < n:
        stated = rng.beta(5, 1)
        right = rng.random() < stated - shift
        decision = "assign" if stated >= threshold else "review"
        recorded = {"assign": assigned, "review": reviewed}[decision]
        if rng.random() < recorded * (confirmed if right else 1.0):
            found = "a" if right else "b"
            rows.append(Feedback(task="t", agent="a", correct_agent=found, decision=decision, confidence=stated))  # fmt: skip
    return rows


@pytest.mark.parametrize("assigned", [1.0, 0.1])
@pytest.mark.parametrize("n", [20, 200])
def test_a_calibrated_program_is_called_a_misfit_once_in_a_hundred_logs(n, assigned):
    rng = np.random.default_rng(0)
    logs = [log_of(rng, n, assigned=assigned) for _ in range(150)]
    found = [compare_with_confidence(rows) for rows in logs]
    alarms = sum(one is not None and one.fits is False for one in found)
    assert alarms <= 5  # of 1.5 expected: more would be seen once in 220 times


def test_overconfidence_is_found():
    rng = np.random.default_rng(0)
    found = [compare_with_confidence(log_of(rng, 200, shift=0.15)) for _ in range(50)]
    assert sum(one is not None and one.fits is False for one in found) >= 45


@pytest.mark.parametrize("confirmed", [0.0, 0.5, 1.0])
def test_a_log_that_only_reviewers_write_gives_no_verdict(confirmed):
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = compare_with_confidence(log_of(rng, 100, assigned=0.0, confirmed=confirmed))
        assert found is not None
        assert found.fits is None
        assert "cannot be tested" in found.sentence()


def test_outcomes_as_few_as_these_are_not_called_a_misfit_for_one_error():
    rows = [Feedback(task="t", agent="a", correct_agent="a", decision="assign", confidence=0.995)]
    wrong = Feedback(task="t", agent="a", correct_agent="b", decision="assign", confidence=0.995)
    # Among 20 at 99.5 % an error is seen in 10 % of the logs, though it is 3 sigma from the mean.
    found = compare_with_confidence([*rows * 19, wrong])
    assert found is not None
    assert found.p == pytest.approx(1 - 0.995**20, abs=0.02)
    assert found.fits is True


def test_few_outcomes_say_nothing(tmp_path):
    log = tmp_path / "f.jsonl"
    append(
        log,
        Feedback(task="t", agent="a", correct_agent="b", decision="assign", confidence=0.99),
    )
    assert drift(log).fits is None
    message = "1 outcomes: too few to test calibration (20 needed)"
    assert drift(log).sentence() == message
    append(tmp_path / "bare.jsonl", Feedback(task="t", correct_agent="b"))
    with pytest.raises(InputError, match="no delegation with a confidence"):
        drift(tmp_path / "bare.jsonl")


def rows(*tasks):
    return [Feedback(task=task, correct_agent=None) for task in tasks]


@pytest.mark.parametrize("torn", [b'{"task": "tor', '{"task": "Bü'.encode()[:-1]])
def test_a_torn_last_line_is_set_aside_and_costs_no_other(tmp_path, caplog, torn):
    log = tmp_path / "f.jsonl"
    for row in rows("a", "b"):
        append(log, row)
    log.write_bytes(log.read_bytes() + torn)
    assert list(read_feedback(log)) == rows("a", "b")
    assert f"{log}: line 3: torn, not read" in caplog.text
    append(log, *rows("c"))
    assert list(read_feedback(log)) == rows("a", "b", "c")
    assert (tmp_path / "f.jsonl.torn").read_bytes() == torn + b"\n"
    assert f"{log}: its last line was torn; it is set aside in {log}.torn" in caplog.text


def test_a_last_row_without_a_line_break_is_kept(tmp_path):
    log = tmp_path / "f.jsonl"
    log.write_text('{"task": "a", "correct_agent": null}')
    append(log, *rows("b"))
    assert list(read_feedback(log)) == rows("a", "b")
    assert [path.name for path in tmp_path.iterdir()] == ["f.jsonl"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_full_disk_leaves_no_part_of_a_row(tmp_path):
    log = tmp_path / "f.jsonl"
    append(log, *rows("a"))

    def fill():
        import resource  # POSIX alone

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = log.stat().st_size + 40  # half a row
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(InputError, match="cannot be written: File too large"):
            append(log, *rows("b"))

    assert in_child(fill) == 0
    append(log, *rows("c"))
    assert list(read_feedback(log)) == rows("a", "c")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_processes_that_append_at_once_lose_no_row(tmp_path):
    log = tmp_path / "f.jsonl"

    def append_fifty():
        for number in range(50):
            append(log, *rows(f"{os.getpid()} {number} {'x' * 20_000}"))

    children = [start_child(append_fifty) for _ in range(4)]
    assert [end_of(child) for child in children] == [0] * 4
    assert len({row.task for row in read_feedback(log)}) == 200
