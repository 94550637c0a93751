"""A batch keeps what is finished, mixes with no other, and shows no part of a file."""

import json
import os
import signal
from typing import Any

import pytest
from children import in_child, killed_before, on_a_full_disk
from small import HashedWords, office_registry

from task_delegator.batch.run import Batch, delegate_batch, program_digest
from task_delegator.delegation import Delegation, Usage
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError, LMError, LMSpecError
from task_delegator.system.locks import held

TASKS = [(number, f"task {number}") for number in range(1, 9)]


class Nobody:
    """Answer every task at once; fail, or do something, at one of them."""

    def __init__(self, at="", what: Any = None) -> None:
        self.asked, self._at, self._what = [], at, what

    def __call__(self, tasks) -> Any:
        return map(self.one, tasks)

    def one(self, task):
        self.asked.append(task)
        if task == self._at:
            if isinstance(self._what, Exception):
                return self._what
            self._what()
        return Delegation(
            task=task, decision="none", agent=None, top3=(), confidence=0.0, reason="",
            usage=Usage(),
        ).to_dict()  # fmt: skip


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def asked_after_a_kill(out, tasks=TASKS):
    """Kill a batch at its fifth task; return what the same batch asks then."""
    assert in_child(lambda: delegate_batch(TASKS, Nobody("task 5", kill), out, "p")) == -9
    assert not out.exists()
    program = Nobody()
    delegate_batch(tasks, program, out, "p")
    return program.asked


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault(
    "kill -9", "`batch`", holds="The same command goes on: nothing is lost or done twice."
)
def test_a_killed_batch_goes_on_where_it_was(tmp_path):
    out = tmp_path / "out.jsonl"
    assert asked_after_a_kill(out) == [task for _, task in TASKS[4:]]
    assert [row["task"] for row in rows_of(out)] == [task for _, task in TASKS]
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault(
    "two writers", "`batch`, of other tasks", holds="The second is refused in one line."
)
def test_rows_of_other_tasks_or_of_another_program_are_not_taken_up(tmp_path):
    out = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match=r"out\.jsonl\.partial: holds rows of other tasks"):
        asked_after_a_kill(out, TASKS[1:])
    with pytest.raises(InputError, match="of another program, agents or options; remove it"):
        delegate_batch(TASKS, Nobody(), out, "another")
    assert delegate_batch(TASKS, Nobody(), out, "p").kept == 4


def test_a_row_of_another_task_is_made_again(tmp_path):
    out, program = tmp_path / "out.jsonl", Nobody()
    with pytest.raises(LMSpecError):
        delegate_batch(TASKS, Nobody("task 5", LMSpecError("no key")), out, "p")
    journal = tmp_path / "out.jsonl.partial"
    journal.write_bytes(journal.read_bytes().replace(b"task 2", b"tusk 2") + b'{"line": 5, "ro')
    delegate_batch(TASKS, program, out, "p")
    assert program.asked == ["task 2", *(task for _, task in TASKS[4:])]
    assert [row["task"] for row in rows_of(out)] == [task for _, task in TASKS]


def test_rows_of_an_older_version_are_not_lost(tmp_path):
    (tmp_path / "out.jsonl.partial").write_text('{"task": "task 1"}\n')
    with pytest.raises(InputError, match="remove it, or name another file"):
        delegate_batch(TASKS, Nobody(), tmp_path / "out.jsonl", "p")
    assert (tmp_path / "out.jsonl.partial").read_text() == '{"task": "task 1"}\n'


@pytest.mark.fault("two writers", "`batch`", holds="The second is refused in one line.")
def test_a_second_batch_on_one_file_is_refused(tmp_path):
    out = tmp_path / "out.jsonl"
    with held(tmp_path / "out.jsonl.partial"), pytest.raises(InputError, match="another batch"):
        delegate_batch(TASKS, Nobody(), out, "p")
    assert not out.exists()


def test_a_task_that_failed_is_a_row_and_the_others_are_done(tmp_path):
    out = tmp_path / "out.jsonl"
    done = delegate_batch(TASKS, Nobody("task 5", LMError("no answer")), out, "p")
    assert done == Batch(rows=8, kept=0, failed=1, second_pass=0, exit_code=3)
    rows = rows_of(out)
    assert rows[4] == {"line": 5, "task": "task 5", "error": "no answer"}
    assert [row["task"] for row in rows] == [task for _, task in TASKS]
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_task_that_failed_is_asked_again_by_a_batch_that_goes_on(tmp_path):
    out, program = tmp_path / "out.jsonl", Nobody()

    class Failing(Nobody):
        def one(self, task):
            return LMError("no answer") if task == "task 2" else super().one(task)

    assert in_child(lambda: delegate_batch(TASKS, Failing("task 5", kill), out, "p")) == -9
    assert delegate_batch(TASKS, program, out, "p").exit_code == 0
    assert program.asked == ["task 2", *(task for _, task in TASKS[4:])]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault(
    "full disk", "`batch`", holds="One line; whole rows are kept, and the same command goes on."
)
def test_a_full_disk_leaves_no_part_of_a_row(tmp_path):
    out = tmp_path / "out.jsonl"

    def fill():
        with pytest.raises(InputError, match="cannot be written: File too large"):
            delegate_batch(TASKS, Nobody(), out, "p")

    assert on_a_full_disk(4000, fill) == 0
    lines = (tmp_path / "out.jsonl.partial").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len([json.loads(line) for line in lines]) > 1
    assert delegate_batch(TASKS, Nobody(), out, "p").kept == len(lines) - 1


@pytest.mark.fault(
    "torn line", "the journal of `batch`", holds="The task is done again; no other row is lost."
)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("torn", [b'{"task": "tor', '{"task": "B\u00fc'.encode()[:-1], b"\0" * 100])
def test_a_torn_last_line_of_the_journal_costs_no_other_row(tmp_path, torn):
    out = tmp_path / "out.jsonl"
    assert in_child(lambda: delegate_batch(TASKS, Nobody("task 5", kill), out, "p")) == -9
    journal = tmp_path / "out.jsonl.partial"
    journal.write_bytes(journal.read_bytes() + torn)
    program = Nobody()
    delegate_batch(TASKS, program, out, "p")
    assert program.asked == [task for _, task in TASKS[4:]]
    assert [row["task"] for row in rows_of(out)] == [task for _, task in TASKS]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault(
    "kill -9",
    "`batch`, at each call of the system",
    holds="The next run ends with the same file and leaves nothing beside it.",
)
def test_a_batch_killed_at_any_step_ends_as_if_it_had_not_been(tmp_path):
    expected, step, killed = tmp_path / "expected.jsonl", 0, True
    delegate_batch(TASKS[:3], Nobody(), expected, "p")
    while killed:
        out = tmp_path / str(step) / "out.jsonl"
        out.parent.mkdir()
        killed = killed_before(step, lambda to=out: delegate_batch(TASKS[:3], Nobody(), to, "p"))
        delegate_batch(TASKS[:3], Nobody(), out, "p")
        assert rows_of(out) == rows_of(expected)
        assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]
        step += 1
    assert step > 10


def test_what_delegations_depend_on_tells_programs_apart():
    one, other = (Delegator(office_registry(), HashedWords()) for _ in range(2))
    assert program_digest(one, lm="a") == program_digest(other, lm="a")
    assert program_digest(one, lm="a") != program_digest(one, lm="b")
    other.registry.remove("Travel")
    assert program_digest(one) != program_digest(other)
