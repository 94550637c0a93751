"""Checkpoints: one process at a time, and nothing continues on other data, settings or code."""

import pytest

from optimize import checkpoint
from optimize.checkpoint import (
    Checkpoint,
    checkpoint_folder,
    code_digest,
    digest_of,
    matches,
    refuse,
    start_over,
)
from optimize.search.study import StudyLocation, open_study
from task_delegator.errors import InputError


def begin(folder, seed=0, on_change=refuse) -> Checkpoint:
    return Checkpoint(folder, {"seed": seed}, on_change=on_change)


@pytest.mark.fault("two writers", "`compile`", holds="The second is refused in one line.")
def test_two_processes_do_not_make_the_same(tmp_path):
    with begin(tmp_path / "w"), pytest.raises(InputError, match="is making this program"):
        begin(tmp_path / "w")
    begin(tmp_path / "w").__exit__()


def test_a_changed_identity_starts_anew_where_that_was_chosen(tmp_path, caplog):
    with begin(tmp_path / "w", on_change=start_over) as work:
        work.save("lesson", [1])
        (work.folder / "more").mkdir()
        open_study(StudyLocation("retrieval", work.journal), [], seed=0)
    with begin(tmp_path / "w", on_change=start_over) as work:
        assert work.load("lesson") == [1]
        assert work.journal.is_file()
    assert caplog.text == ""
    with begin(tmp_path / "w", seed=1, on_change=start_over) as work:
        assert work.load("lesson") is None
        assert {path.name for path in work.folder.iterdir()} == {"identity.json", "lock"}
    assert "starting anew" in caplog.text


def test_a_changed_identity_is_refused_where_that_was_chosen(tmp_path):
    with begin(tmp_path / "w") as work:
        work.save("lesson", [1])
    with pytest.raises(InputError, match="other data, settings or code"):
        begin(tmp_path / "w", seed=1)
    assert matches(tmp_path / "w", {"seed": 0})
    with begin(tmp_path / "w") as work:  # it is free again, and whole
        assert work.load("lesson") == [1]


@pytest.mark.parametrize("on_change", [refuse, start_over])
def test_a_folder_of_something_else_is_left_as_it_is(tmp_path, on_change):
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="remove it or name another --out"):
        begin(tmp_path, on_change=on_change)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_a_process_killed_before_it_kept_anything_is_followed_by_another(tmp_path):
    for name in ("lock", "identity.json.partial"):
        (tmp_path / name).write_text("")
    with begin(tmp_path) as work:
        assert work.load("lesson") is None


def test_what_is_made_is_all_that_is_left(tmp_path):
    out = tmp_path / "program"
    out.mkdir()
    with Checkpoint(checkpoint_folder(out), {}, on_change=refuse, out=out) as work:
        work.remove()
    assert list(tmp_path.iterdir()) == [out]


def test_the_identity_of_code_follows_its_edits(tmp_path, monkeypatch):
    package = tmp_path / "optimize"
    package.mkdir()
    monkeypatch.setattr(checkpoint, "__file__", str(package / "checkpoint.py"))
    result = set()
    for name, text in (("a.py", ""), ("a.py", "edited"), ("b.py", ""), ("notes.txt", "not code")):
        (package / name).write_text(text)
        result.add(code_digest.__wrapped__())
    assert len(result) == 3


def test_digests_do_not_depend_on_order():
    assert digest_of({"a": 1, "b": (2,)}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1})


def test_a_system_without_posix_locks_is_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("task_delegator.system.locks.fcntl", None)
    with pytest.raises(InputError, match="run it on Linux, macOS or WSL"):
        begin(tmp_path / "w")
