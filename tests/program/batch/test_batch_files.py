"""A batch from file to file: bad lines, Parquet, several processes, an LM of so many calls."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from fault_table import TASK, hosted, program
from faults import FaultServer
from small import ROOT

from task_delegator.batch.engine import chunk_size, one_process, several_processes
from task_delegator.batch.files import read_tasks
from task_delegator.batch.run import delegate_batch
from task_delegator.cli import main
from task_delegator.errors import InputError
from task_delegator.lm import forget_circuits

WHERE = ("--agents", str(ROOT / "datasets" / "agents.json"), "--enrichment", "none", "--no-lm")
TEXTS = ["reset my password", "translate the guide", "book a train", "pay my money back"]


def batch(tasks, out, *options):
    return main(["batch", str(tasks), str(out), *WHERE, *options])


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_usage(rows):
    return [{name: row[name] for name in ("task", "decision", "agent", "reason")} for row in rows]


@pytest.mark.parametrize(
    "field",
    ["permissions", "exclude", "include", "history", "k", "Permissions", "required_permission"],
)
def test_a_line_that_wishes_what_a_batch_does_not_read_is_not_done_without_it(
    field, tmp_path, capsys
):
    tasks, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    rows = [{"task": TEXTS[0], field: []}, {"task": TEXTS[1], "id": 7, field: None}]
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert batch(tasks, out) == 2
    assert f"line 1: {field} is not read from a batch" in capsys.readouterr().err
    assert [row["task"] for row in rows_of(out)] == TEXTS[1:2]


def test_a_batch_writes_over_nothing_that_it_reads(tmp_path, capsys):
    tasks, agents = tmp_path / "t.jsonl", tmp_path / "agents.json"
    tasks.write_text(json.dumps(TEXTS[0]) + "\n{}\n")
    agents.write_text('[{"name": "A"}]')
    (tmp_path / "link").symlink_to(tasks)
    (tmp_path / "out.bad").symlink_to(tasks)
    enrichment = tmp_path / "enrichment.json"
    enrichment.write_text("[]")
    (tmp_path / "hard").hardlink_to(tasks)
    for out in (tasks, agents, enrichment, tmp_path / "link", tmp_path / "hard", tmp_path / "out"):
        assert main(["batch", str(tasks), str(out), "--agents", str(agents), "--no-lm"]) == 2
        assert "is read by this command" in capsys.readouterr().err
    assert tasks.read_text() == json.dumps(TEXTS[0]) + "\n{}\n"
    assert agents.read_text() == '[{"name": "A"}]'


def test_a_batch_writes_into_no_folder_that_it_reads(tmp_path, capsys):
    tasks, folder = tmp_path / "t.jsonl", tmp_path / "agents"
    tasks.write_text(json.dumps(TEXTS[0]) + "\n")
    folder.mkdir()
    (folder / "desk.json").write_text('[{"name": "A"}]')
    for out in (folder / "desk.json", folder / "out.json"):
        assert main(["batch", str(tasks), str(out), "--agents", str(folder), "--no-lm"]) == 2
        assert "is read by this command" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["desk.json"]


def test_a_row_says_which_line_it_answers_and_keeps_its_id(tmp_path):
    tasks, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    rows = [{"task": TEXTS[0], "id": "a-7"}, {"task": ""}, TEXTS[1], {"task": TEXTS[2], "id": 9}]
    rows.append({"task": TEXTS[3], "id": [1]})
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert batch(tasks, out) == 2
    written = [(row["line"], row.get("id"), row["task"]) for row in rows_of(out)]
    assert written == [(1, "a-7", TEXTS[0]), (3, None, TEXTS[1]), (4, 9, TEXTS[2])]
    bad = {row["line"]: row["error"] for row in rows_of(tmp_path / "out.jsonl.bad")}
    assert "id must be a text or a whole number" in bad[5]


def test_half_a_character_stops_no_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    tasks, out = tmp_path / "t.jsonl", tmp_path / "out.parquet"
    tasks.write_text('{"task": "\\ud800 where is my money", "id": "\\udfff"}\n')
    assert batch(tasks, out) == 0
    (row,) = parquet.read_table(out).to_pylist()
    assert (row["task"], row["id"]) == ("? where is my money", "?")


def test_cells_of_parquet_that_are_no_text_are_bad_rows(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    values = b"pay me" + b"\xff\xfe"
    ends = arrow.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 6, 8)))
    texts = arrow.Array.from_buffers(arrow.string(), 2, [None, ends, arrow.py_buffer(values)])
    parquet.write_table(arrow.table({"task": texts}), path)
    found = read_tasks(str(path))
    assert found.tasks == ((1, "pay me"),)
    assert "line 2: cannot be read" in found.bad[0][1]
    endless = arrow.array([2**62], arrow.duration("s"))
    parquet.write_table(arrow.table({"task": endless}), path)
    with pytest.raises(InputError, match="line 1: "):
        read_tasks(str(path))


def test_an_array_over_several_lines_is_refused_and_not_read_by_its_last(tmp_path):
    (tmp_path / "in.json").write_text(json.dumps(TEXTS, indent=1))
    with pytest.raises(InputError, match=r"in\.json: a JSON array; a batch reads "):
        read_tasks(str(tmp_path / "in.json"))


def test_a_line_that_is_no_text_is_a_bad_line(tmp_path, capsys):
    tasks, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    tasks.write_bytes(b'\xef\xbb\xbf"pay me back"\n{"task": "caf\xe9"}\n"book a train"\n')
    assert batch(tasks, out) == 2
    assert "1 bad lines" in (said := capsys.readouterr().err)
    assert "line 2: expected" in said
    assert [row["task"] for row in rows_of(out)] == ["pay me back", "book a train"]


def test_a_column_of_permissions_is_refused(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table({"task": TEXTS, "permissions": [[]] * len(TEXTS)}), path)
    with pytest.raises(InputError, match="permissions is not read from a batch"):
        read_tasks(str(path))


@pytest.mark.fault(
    "torn line",
    "tasks of `batch`",
    holds="To a file beside, with its number; the others are done, exit code 2.",
)
def test_bad_lines_go_to_a_file_beside_and_the_others_are_done(tmp_path, capsys):
    tasks, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    tasks.write_text(f'"{TEXTS[0]}"\n{{"task": 3}}\n[broken\n\n""\n"{TEXTS[1]}"\n')
    assert batch(tasks, out) == 2
    said = capsys.readouterr().err
    assert f"3 bad lines are listed in {out}.bad, the first: {tasks}: line 2: expected" in said
    assert [row["task"] for row in rows_of(out)] == TEXTS[:2]
    bad = rows_of(tmp_path / "out.jsonl.bad")
    assert [row["line"] for row in bad] == [2, 3, 5]
    assert "the task is empty" in bad[2]["error"]
    tasks.write_text(json.dumps(TEXTS[0]) + "\n")
    assert batch(tasks, out) == 0
    assert not (tmp_path / "out.jsonl.bad").exists()


def test_parquet_goes_in_and_out(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    tasks, out = tmp_path / "t.parquet", tmp_path / "out.parquet"
    parquet.write_table(arrow.table({"id": [1, 2, 3], "task": [TEXTS[0], None, TEXTS[1]]}), tasks)
    assert read_tasks(str(tasks)).tasks == ((1, TEXTS[0]), (3, TEXTS[1]))
    assert batch(tasks, out) == 2
    rows = parquet.read_table(out).to_pylist()
    assert [row["task"] for row in rows] == TEXTS[:2]
    for row in rows:
        whole = json.loads(row["delegation"])
        assert (row["decision"], row["agent"]) == (whole["decision"], whole["agent"])
        assert row["top3"] == whole["top3"]
    assert [row["line"] for row in rows_of(tmp_path / "out.parquet.bad")] == [2]


@pytest.mark.parametrize("content", [b"", b"PAR1 not parquet", None])
def test_what_is_no_parquet_with_tasks_is_refused(tmp_path, content):
    arrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    tasks = tmp_path / "t.parquet"
    if content is None:
        parquet.write_table(arrow.table({"text": ["a"]}), tasks)
    else:
        tasks.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet: (cannot be read|no column named task)"):
        read_tasks(str(tasks))


@pytest.mark.slow
@pytest.mark.fault("spawn", "`batch --workers`", holds="The same rows in the same order.")
def test_several_processes_write_what_one_does_in_order(tmp_path):
    tasks = tmp_path / "t.jsonl"
    tasks.write_text("".join(json.dumps(f"{TEXTS[i % 4]} {i}") + "\n" for i in range(300)))
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert batch(tasks, one) == batch(tasks, two, "--workers", "2") == 0
    assert without_usage(rows_of(one)) == without_usage(rows_of(two))


@pytest.mark.slow
def test_processes_are_given_more_tasks_at_a_time_where_there_are_more():
    assert chunk_size(1000, 2) == 128
    assert chunk_size(8000, 2) == 500
    assert chunk_size(10**6, 4) == 1024


@pytest.mark.fault("kill -9", "a worker of `batch --workers`", holds="The batch ends in one line.")
def test_a_worker_that_ends_stops_the_batch_in_a_line(tmp_path):
    tasks = [(number, f"task {number}") for number in range(1, 5)]
    workers = several_processes(partial(os._exit, 9), None, 2)
    with pytest.raises(InputError, match="a worker ended before its time"):
        delegate_batch(tasks, workers, tmp_path / "out.jsonl", "p")
    assert list(tmp_path.iterdir()) == []


def test_the_cap_is_counted_in_one_process(tmp_path, capsys):
    assert batch(tmp_path / "t", tmp_path / "o", "--workers", "2", "--max-lm-calls", "9") == 2
    assert "leave out --workers" in capsys.readouterr().err


def test_an_lm_is_asked_so_often_and_the_rest_is_marked():
    try:
        with FaultServer() as server:
            rows = list(one_process(program(hosted(server)), None, 2)([TASK] * 5))
            assert server.requests == 2
    finally:
        forget_circuits()
    assert [row["usage"]["lm_calls"] for row in rows if isinstance(row, dict)] == [1, 1, 0, 0, 0]
    marks = [row.get("second_pass", False) for row in rows if isinstance(row, dict)]
    assert marks == [False, False, True, True, True]


def test_tasks_at_which_the_lm_failed_are_marked_and_counted(tmp_path):
    out, tasks = tmp_path / "out.jsonl", [(1, TASK), (2, TASK)]
    try:
        with FaultServer("refused") as server:
            done = delegate_batch(tasks, one_process(program(hosted(server)), None), out, "p")
    finally:
        forget_circuits()
    assert [row["evidence"]["lm_failure"] is not None for row in rows_of(out)] == [True, True]
    assert [row["second_pass"] for row in rows_of(out)] == [True, True]
    assert (done.second_pass, done.failed, done.exit_code) == (2, 0, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.fault("SIGTERM", "`batch --workers`", holds="The workers end with it.")
def test_workers_end_with_the_process_that_began_them(tmp_path):
    script = tmp_path / "begin.py"
    script.write_text(BEGIN)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = Path("/proc", parent.stdout.readline().strip())
        assert worker.is_dir()
        parent.kill()
    for _ in range(100):
        if not worker.is_dir():
            return
        time.sleep(0.1)
    raise AssertionError("a worker is left")


BEGIN = """
import os, time
from task_delegator.batch.engine import several_processes

def load():
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    list(several_processes(load, None, 1)(["task"]))
"""
