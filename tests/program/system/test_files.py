"""Files appear whole, whoever writes them, and JSON is read from any editor."""

import errno
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from task_delegator.errors import InputError
from task_delegator.feedback import Feedback
from task_delegator.system import append_row
from task_delegator.system.files import (
    PARTIAL,
    atomic_write,
    read_json,
    replacing,
    replacing_folder,
    sha256_file,
    sha256_text,
    write_text,
)


@pytest.mark.parametrize(
    "content",
    [b'[{"name": "B\xc3\xbcro"}]', b'\xef\xbb\xbf[{"name":\r\n"B\xc3\xbcro"}]\r\n'],
    ids=["plain", "byte order mark and CRLF"],
)
def test_json_of_any_editor_is_read(tmp_path, content):
    (tmp_path / "agents.json").write_bytes(content)
    assert read_json(tmp_path / "agents.json") == [{"name": "Büro"}]


def test_json_that_cannot_be_read_is_one_line(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match="no such file"):
        read_json(path)
    path.write_text('{"a":\n 1,}')
    with pytest.raises(InputError, match="broken JSON at line 2, column 4"):
        read_json(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be read"):
        read_json(path)


@pytest.mark.fault(
    "no regular file",
    "a FIFO that takes a file's place meanwhile",
    holds="One line; nothing waits.",
)
def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("task_delegator.system.files.require_regular", lambda path: None)
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(InputError, match="broken JSON"):
        read_json(tmp_path / "a.json")
    kept_open = os.open(tmp_path / "a.json", os.O_RDWR)
    try:
        with pytest.raises(InputError, match="gives nothing now"):
            read_json(tmp_path / "a.json")
    finally:
        os.close(kept_open)


@pytest.mark.fault("100 MB", "other JSON, from 200 MB on", holds="One line, before it is read.")
def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(10**12)  # of holes
    with pytest.raises(InputError, match="more than 200,000,000 bytes"):
        read_json(tmp_path / "a.json")


@pytest.mark.fault(
    "two writers", "any file that is replaced", holds="A reader finds one writer's, whole."
)
def test_three_writers_of_one_path_never_show_a_broken_file(tmp_path):
    path, failures = tmp_path / "state.json", []
    write_text(path, json.dumps(["start"]))

    def write(letter: str) -> None:
        try:
            for size in range(20):
                write_text(path, json.dumps([letter * 3000] * (size + 1)))
        except InputError as error:
            failures.append(error)

    writers = [Thread(target=write, args=(letter,)) for letter in "abc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert len(set(read_json(path))) == 1
    assert failures == []
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def half_write(path):
    with replacing(path) as partial:
        assert partial.parent == path.parent
        assert partial.name.endswith(PARTIAL)
        partial.write_text("half")
        raise ZeroDivisionError


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        half_write(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/below\.json: cannot be written"):
        write_text(tmp_path / "file" / "below.json", "text")


def test_the_mode_of_a_file_stays(tmp_path):
    private, fresh = tmp_path / "private", tmp_path / "fresh"
    private.write_text("old")
    private.chmod(0o600)
    atomic_write(private, b"new")
    assert private.read_bytes() == b"new"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    atomic_write(fresh, "ü")
    assert fresh.read_bytes() == "ü".encode()
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o666 & ~mask


@pytest.fixture
def disk(monkeypatch, tmp_path):
    """Names of what reached the disk, and of what took another's place, in their order."""
    seen: list[str] = []
    flushed, replaced = os.fsync, os.replace

    def fsync(opened: int) -> None:
        flushed(opened)
        at = {path.stat().st_ino: path for path in (tmp_path, *tmp_path.rglob("*"))}
        path = at[os.fstat(opened).st_ino].relative_to(tmp_path)
        seen.append(re.sub(r"\.\w{8}\.partial", ".partial", str(path)))

    def replace(path: Any, target: Any, **options: Any) -> None:
        replaced(path, target, **options)
        seen.append("replaced")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return seen


@pytest.mark.fault(
    "power failure", "a file or a program that is replaced", holds="The old one or the new, whole."
)
def test_what_takes_a_place_is_on_the_disk_before(tmp_path, disk):
    for _ in range(2):
        write_text(tmp_path / "a.json", "{}")
        assert disk == ["a.json.partial", "replaced", "."]
        disk.clear()
    for _ in range(2):
        with replacing_folder(tmp_path / "p") as fresh:
            (fresh / "program.json").write_text("{}")
        assert disk[:2] == [".p.partial/program.json", ".p.partial"]
        assert disk[-1] == "."
        disk.clear()


@pytest.mark.fault(
    "power failure", "`feedback`", holds="What was said to be recorded is on the disk."
)
def test_feedback_is_on_the_disk_when_it_is_said_to_be_appended(tmp_path, disk):
    append_row(tmp_path / "log.jsonl", Feedback(task="a", correct_agent=None))
    assert disk == ["log.jsonl", "."]
    append_row(tmp_path / "log.jsonl", Feedback(task="b", correct_agent=None))
    assert disk == ["log.jsonl", ".", "log.jsonl"]


@pytest.mark.fault("full disk", "any file that is replaced", holds="What was there stays.")
def test_a_disk_that_is_full_when_it_is_flushed_leaves_what_was_there(tmp_path, monkeypatch):
    write_text(tmp_path / "a.json", "[1]")
    append_row(tmp_path / "log.jsonl", Feedback(task="a", correct_agent=None))
    before = (tmp_path / "log.jsonl").read_bytes()

    def full(opened: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_text(tmp_path / "a.json", "[2]")
    with pytest.raises(InputError, match="No space left"):
        append_row(tmp_path / "log.jsonl", Feedback(task="b", correct_agent=None))
    assert (tmp_path / "a.json").read_text() == "[1]"
    assert (tmp_path / "log.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "log.jsonl"]


def test_digests_are_of_bytes(tmp_path):
    (tmp_path / "a").write_bytes("ü\n".encode())
    assert sha256_file(tmp_path / "a") == hashlib.sha256("ü\n".encode()).hexdigest()
    assert sha256_text("ü\n") == sha256_file(tmp_path / "a")


def test_of_a_link_the_target_is_replaced(tmp_path):
    target, link = tmp_path / "deep" / "target", tmp_path / "link"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "odd"
    make(path)
    with pytest.raises(InputError, match="cannot be written: not a regular file"):
        write_text(path, "new")
    assert not path.is_file()
    assert list(tmp_path.iterdir()) == [path]
