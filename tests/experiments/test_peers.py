"""What peers answered is kept, for the job and the runner that it was answered for."""

import json

import pytest

from experiments.studies.peers import best_library, data_sets, load_or_run_peer
from task_delegator.errors import InputError


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "job.json").write_text("{}")
    (folder / "vectors.npz").write_bytes(b"vectors")
    return folder


def test_a_peer_is_asked_once_about_a_job(tmp_path, job):
    asked = []
    keep = tmp_path / "kept"

    def answers(peer):
        return load_or_run_peer(
            peer, job, keep, lambda peer, _: asked.append(peer) or {"n": len(asked)}
        )

    assert answers("one") == answers("one") == {"n": 1}
    assert answers("two") == {"n": 2}
    (job / "job.json").write_text(json.dumps({"requests": ["another"]}))
    assert answers("one") == {"n": 3}
    assert asked == ["one", "two", "one"]


def test_a_peer_that_fails_leaves_nothing(tmp_path, job):
    def fails(peer, folder):
        raise InputError(f"{peer}: no message")

    with pytest.raises(InputError, match="one: no message"):
        load_or_run_peer("one", job, tmp_path / "kept", fails)
    assert not (tmp_path / "kept").exists()


def test_the_best_library_of_a_set_is_no_plain_classifier():
    rows = [
        {"data": data, "system": system, "top1": top1}
        for data, system, top1 in (
            ("a", "this program", 0.9),
            ("a", "semantic-router", 0.7),
            ("a", "toolpicker", 0.8),
            ("a", "minilm-logistic", 0.85),
            ("b", "llama-index", 0.6),
        )
    ]
    assert data_sets(rows) == ["a", "b"]
    assert best_library(rows, "a")["system"] == "toolpicker"
    assert best_library(rows, "b")["system"] == "llama-index"
