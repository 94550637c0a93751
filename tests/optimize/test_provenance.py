"""A manifest names the commit of this checkout, wherever the command was run."""

import runpy
import shutil
import subprocess

import pytest
from small import ROOT

from optimize import provenance
from optimize.provenance import commit


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The working directory is another repository with one commit; its head."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]

    def git(*arguments):
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "something else")
    monkeypatch.chdir(tmp_path)
    return git("rev-parse", "--short=12", "HEAD")


def test_the_commit_is_that_of_this_checkout_wherever_the_caller_is(
    elsewhere, tmp_path, monkeypatch
):
    found = commit()
    assert found.rstrip("+") != elsewhere
    monkeypatch.chdir(ROOT)
    assert commit() == found
    # Git sets these in hooks and in rebase --exec: they name the other repository.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert commit() == found


def test_a_copy_inside_another_repository_has_no_commit(elsewhere, tmp_path):
    copy = tmp_path / "vendored" / "optimize" / "provenance.py"
    copy.parent.mkdir(parents=True)
    shutil.copy(provenance.__file__, copy)
    assert runpy.run_path(str(copy))["commit"]() == "unknown"
