"""What peers answered is kept, for the job and the runner that it was answered for."""

import json

import pytest

from experiments.studies import peers
from task_delegator.errors import InputError


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "job.json").write_text("{}")
    (folder / "vectors.npz").write_bytes(b"vectors")
    return folder


def test_a_peer_is_asked_once_about_a_job(tmp_path, job, monkeypatch):
    asked = []
    monkeypatch.setattr(
        peers, "_asked", lambda peer, folder: asked.append(peer) or {"n": len(asked)}
    )
    keep = tmp_path / "kept"
    assert peers._run("one", job, keep) == peers._run("one", job, keep) == {"n": 1}
    assert peers._run("two", job, keep) == {"n": 2}
    (job / "job.json").write_text(json.dumps({"requests": ["another"]}))
    assert peers._run("one", job, keep) == {"n": 3}
    assert asked == ["one", "two", "one"]


def test_a_peer_that_fails_leaves_nothing(tmp_path, job, monkeypatch):
    def fails(peer, folder):
        raise InputError(f"{peer}: no message")

    monkeypatch.setattr(peers, "_asked", fails)
    with pytest.raises(InputError, match="one: no message"):
        peers._run("one", job, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
