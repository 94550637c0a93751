"""Files appear whole, whoever writes them, and JSON is read from any editor."""

import hashlib
import json
import os
import stat
from threading import Thread

import pytest

from task_delegator.errors import InputError
from task_delegator.files import (
    PARTIAL,
    atomic_write,
    read_json,
    replacing,
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


def test_digests_are_of_bytes(tmp_path):
    (tmp_path / "a").write_bytes("ü\n".encode())
    assert sha256_file(tmp_path / "a") == hashlib.sha256("ü\n".encode()).hexdigest()
    assert sha256_text("ü\n") == sha256_file(tmp_path / "a")
