import json
import os
import signal
from dataclasses import replace

import pytest
from children import end_of, in_child, killed_before, start_child
from hypothesis import given
from hypothesis import strategies as st
from small import HashedWords, delegator

from optimize.evaluation.drift import drift
from task_delegator.cli import main
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.feedback import Feedback, read_feedback, record, scope_part
from task_delegator.system import append_row


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
    append_row(log, row)
    assert list(read_feedback(log)) == [row]


def test_feedback_without_a_delegation_states_no_confidence(tmp_path):
    log = tmp_path / "f.jsonl"
    append_row(log, Feedback(task="bake a cake", correct_agent=None))
    assert json.loads(log.read_text()) == {
        "task": "bake a cake", "correct_agent": None, "agent": None, "decision": None,
        "confidence": None, "in_scope_score": None, "time": "", "source": "", "request_id": None,
    }  # fmt: skip


def test_how_likely_it_is_that_some_agent_fits_is_kept_where_the_confidence_holds_it(office):
    given = Delegator(office, HashedWords())("refund my order")
    assert scope_part(given) is None  # not calibrated
    evidence = replace(given.evidence, calibrated=True, correct_score=0.6, in_scope_score=0.8)
    assert scope_part(given.copy(evidence=evidence)) == 0.8
    apart = replace(evidence, in_scope_score=0.5)  # no part of it: a share was never fitted
    assert scope_part(given.copy(evidence=apart)) is None


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
        append_row(log, Feedback(task=f"t{number}", agent="a", correct_agent="a", **stated))
        append_row(log, Feedback(task=f"u{number}", correct_agent="b"))
    if decision:
        found = drift(log)
        assert (found.n, found.accuracy, found.fits) == (40, 1.0, True)
    else:
        with pytest.raises(InputError, match="no delegation that named an agent"):
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
        ('{"task": "x"}', "line 2: correct_agent is missing: add it"),
        ('{"task": " ", "correct_agent": "x"}', "line 2: task: is empty"),
        ('{"task": "x", "correct_agent": "x", "confidence": 2}', "line 2: confidence"),
    ],
)
@pytest.mark.fault("torn line", "within a log of feedback", holds="One line with file and number.")
def test_a_broken_line_is_named(tmp_path, line, message):
    log = tmp_path / "f.jsonl"
    log.write_text('{"task": "a", "correct_agent": null}\n' + line + "\n")
    with pytest.raises(InputError, match=message):
        list(read_feedback(log))


def test_a_log_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        append_row(tmp_path, Feedback(task="x", correct_agent=None))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_feedback(tmp_path / "missing"))


def rows(*tasks):
    return [Feedback(task=task, correct_agent=None) for task in tasks]


@pytest.mark.parametrize("torn", [b'{"task": "tor', '{"task": "Bü'.encode()[:-1]])
@pytest.mark.fault(
    "torn line", "`feedback`", holds="Set aside with a warning; no other row is lost."
)
def test_a_torn_last_line_is_set_aside_and_costs_no_other(tmp_path, caplog, torn):
    log = tmp_path / "f.jsonl"
    for row in rows("a", "b"):
        append_row(log, row)
    log.write_bytes(log.read_bytes() + torn)
    assert list(read_feedback(log)) == rows("a", "b")
    assert f"{log}: line 3: torn, not read" in caplog.text
    append_row(log, *rows("c"))
    assert list(read_feedback(log)) == rows("a", "b", "c")
    assert (tmp_path / "f.jsonl.torn").read_bytes() == torn + b"\n"
    assert f"{log}: its last line was torn; it is set aside in {log}.torn" in caplog.text


def test_a_last_row_without_a_line_break_is_kept(tmp_path):
    log = tmp_path / "f.jsonl"
    log.write_text('{"task": "a", "correct_agent": null}')
    append_row(log, *rows("b"))
    assert list(read_feedback(log)) == rows("a", "b")
    assert [path.name for path in tmp_path.iterdir()] == ["f.jsonl"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault(
    "kill -9",
    "`feedback`, at each call of the system",
    holds="No row from before is lost, and the next one is appended.",
)
def test_a_log_whose_writer_is_killed_at_any_step_keeps_every_row_before(tmp_path):
    step, killed, kept = 0, True, set()
    while killed:
        log = tmp_path / f"{step}.jsonl"
        append_row(log, *rows("a"))
        log.write_bytes(log.read_bytes() + b'{"task": "tor')
        killed = killed_before(step, lambda to=log: append_row(to, *rows("b")))
        kept.add(tuple(row.task for row in read_feedback(log)))
        append_row(log, *rows("c"))
        assert list(read_feedback(log)) in (rows("a", "c"), rows("a", "b", "c"))
        step += 1
    assert kept == {("a",), ("a", "b")}
    assert step > 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault("full disk", "`feedback`", holds="One line, no part of a row.")
def test_a_full_disk_leaves_no_part_of_a_row(tmp_path):
    log = tmp_path / "f.jsonl"
    append_row(log, *rows("a"))

    def fill():
        import resource  # POSIX alone

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = log.stat().st_size + 40  # half a row
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(InputError, match="cannot be written: File too large"):
            append_row(log, *rows("b"))

    assert in_child(fill) == 0
    append_row(log, *rows("c"))
    assert list(read_feedback(log)) == rows("a", "c")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault("two writers", "`feedback`", holds="No row is lost or mixed.")
def test_processes_that_append_at_once_lose_no_row(tmp_path):
    log = tmp_path / "f.jsonl"

    def append_fifty():
        for number in range(50):
            append_row(log, *rows(f"{os.getpid()} {number} {'x' * 20_000}"))

    children = [start_child(append_fifty) for _ in range(4)]
    assert [end_of(child) for child in children] == [0] * 4
    assert len({row.task for row in read_feedback(log)}) == 200


def test_who_corrects_an_answer_to_a_request_is_believed_at_last(tmp_path, office):
    log, given = tmp_path / "log.jsonl", delegator(office)("refund my order")
    for who, agent in (("web", "Refunds"), ("mail", "Ada"), ("web", "Travel"), ("web", "Events")):
        record(log, given, agent, who, "one")
    append_row(log, Feedback(task="bake a cake", correct_agent=None))
    append_row(log, Feedback(task="bake a cake", correct_agent=None))
    read = [(row.source, row.correct_agent) for row in read_feedback(log)]
    assert read == [("mail", "Ada"), ("web", "Events"), ("", None), ("", None)]


@pytest.mark.parametrize("content", ['[\n {"name": "A"}\n]', "name,task\nA,b\n"])
def test_a_file_that_is_no_log_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "agents.json"
    path.write_text(content)
    with pytest.raises(InputError, match="is no file of JSON lines"):
        append_row(path, Feedback(task="x", correct_agent=None))
    assert path.read_text() == content
    assert list(tmp_path.iterdir()) == [path]


def test_feedback_is_not_appended_to_the_registry_that_is_read(tmp_path, capsys, office):
    agents = tmp_path / "agents.json"
    office.save(agents)
    before = agents.read_text()
    command = ["feedback", "x", "--nobody", "--agents", str(agents), "--log", str(agents)]
    assert main(command) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert agents.read_text() == before


def test_a_right_agent_that_the_caller_may_not_use_is_refused(tmp_path, capsys, office):
    agents, log = tmp_path / "agents.json", tmp_path / "log.jsonl"
    office.save(agents)
    command = ["feedback", "my salary", "--correct", "Payroll", "--agents", str(agents)]
    assert main([*command, "--log", str(log), "--permissions", "x"]) == 2
    assert "'Payroll' needs more than --permissions" in capsys.readouterr().err
    assert main([*command, "--log", str(log)]) == 0
