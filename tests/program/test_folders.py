"""A folder is replaced in one step: whoever is killed leaves the old one or the new."""

import errno
import os
import threading

import pytest
from children import killed_before

from task_delegator.system import files
from task_delegator.system.files import replacing_folder
from task_delegator.system.locks import held

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
_STEPS = 100  # more than a replacement takes


def write(target, said):
    with replacing_folder(target) as fresh:
        for name in ("program.json", "manifest.json"):
            (fresh / name).write_text(said)


def state(target) -> set[str]:
    return {(target / name).read_text() for name in ("program.json", "manifest.json")}


@pytest.mark.slow
@pytest.mark.parametrize("exchange", [True, False], ids=["in one step", "without exchange"])
@pytest.mark.fault(
    "kill -9",
    "`save`, at each call of the system",
    holds="The old program or the new, where the file system exchanges folders in one step.",
)
def test_a_killed_process_leaves_the_old_folder_or_the_new(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    found, ended = [], False
    for step in range(_STEPS):
        target = tmp_path / str(step) / "program"
        write(target, "old")
        ended = not killed_before(step, lambda to=target: write(to, "new"))
        found.append(state(target) if exchange or target.exists() else None)
        write(target, "newer")  # the next one clears up
        assert state(target) == {"newer"}
        assert [path.name for path in target.parent.iterdir()] == ["program"]
        if ended:
            break
    assert ended
    assert {"old"} in found
    assert {"new"} in found
    assert all(left in ({"old"}, {"new"}, None) for left in found)
    assert (None in found) is (not exchange)


def test_what_was_retired_without_an_exchange_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    write(tmp_path / "program", "old")
    (tmp_path / "program").replace(tmp_path / ".program.retired.partial")
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "program"):
        raise ZeroDivisionError
    assert state(tmp_path / "program") == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


@pytest.mark.slow
@pytest.mark.fault(
    "two writers", "`save` beside a reader", holds="The reader finds a whole program."
)
def test_a_reader_always_finds_a_whole_folder(tmp_path):
    target, done = tmp_path / "program", threading.Event()
    write(target, "0")

    def save():
        for number in range(100):
            write(target, str(number))
        done.set()

    writers = [threading.Thread(target=save) for _ in range(2)]
    for writer in writers:
        writer.start()
    looks = 0
    while any(writer.is_alive() for writer in writers):
        for name in ("program.json", "manifest.json"):
            assert (target / name).read_text().isdigit()
        looks += 1
    for writer in writers:
        writer.join()
    assert looks > 10
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


def test_a_link_stays_one(tmp_path):
    write(tmp_path / "kept" / "program", "old")
    (tmp_path / "link").symlink_to(tmp_path / "kept" / "program")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert state(tmp_path / "kept" / "program") == {"new"}


def test_another_folder_of_a_like_name_is_left_alone(tmp_path):
    for name in (".program.v2.abcd1234.partial", ".program.settings"):
        (tmp_path / name).mkdir()
    write(tmp_path / "program", "new")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EACCES])
def test_a_file_system_without_exchange_is_told_from_a_refusal(tmp_path, monkeypatch, code):
    class Library:
        def __init__(self, *_, **__):
            self.renameat2 = self.renamex_np = lambda *_: -1

    write(tmp_path / "program", "old")
    monkeypatch.setattr(files.ctypes, "CDLL", Library)
    monkeypatch.setattr(files.ctypes, "get_errno", lambda: code)
    if code == errno.EINVAL:
        write(tmp_path / "program", "new")
        assert state(tmp_path / "program") == {"new"}
    else:
        with pytest.raises(PermissionError):
            write(tmp_path / "program", "new")
        assert state(tmp_path / "program") == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


@pytest.mark.fault("two writers", "`save`", holds="They take turns.")
def test_two_processes_that_replace_one_folder_take_turns(tmp_path):
    target = tmp_path / "program"
    with held(tmp_path / ".program.lock"):
        thread = threading.Thread(target=write, args=(target, "new"))
        thread.start()
        thread.join(0.2)
        assert not target.exists()
    thread.join()
    assert state(target) == {"new"}
