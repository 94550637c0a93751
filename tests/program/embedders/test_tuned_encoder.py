"""An encoder of one's own: a folder with graph, tokenizer and manifest, checked by SHA-256."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from optimize.data import ENCODER_REGISTRIES
from task_delegator import embedders
from task_delegator.embedders import (
    DEFAULT,
    MANIFEST,
    MODEL,
    PACKAGED,
    VOCABULARY,
    MiniLM,
    embedder,
    packaged_minilm,
)
from task_delegator.embedders.base import Encoded
from task_delegator.embedders.onnx_encoder import OnnxEncoder
from task_delegator.embedders.specs import _named
from task_delegator.errors import InputError
from task_delegator.settings import EMBEDDER
from task_delegator.system import read_json, sha256_file

SHIPPED = Path(embedders.__file__).parent / "tuned"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder that holds the packaged MiniLM as if it had been trained."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _named.cache_clear()
    made = tmp_path / "made"
    made.mkdir()
    for source, name in zip(packaged_minilm(), (MODEL, VOCABULARY), strict=True):
        shutil.copyfile(source, made / name)
    sha256 = {name: sha256_file(made / name) for name in (MODEL, VOCABULARY)}
    (made / MANIFEST).write_text(json.dumps({"sha256": sha256}))
    return made


def test_it_encodes_as_its_graph_does_under_an_id_of_its_own(folder):
    own = embedder(f"encoder:{folder}")
    assert own.id == f"encoder:{sha256_file(folder / MODEL)[:12]}"
    texts = ["pay the invoice", "a train to Porto"]
    for mine, theirs in zip(own.encode(texts), MiniLM().encode(texts), strict=True):
        assert np.array_equal(mine.vector, theirs.vector)
        assert np.array_equal(mine.token_vectors, theirs.token_vectors)
    assert own.languages == {"en"}


def test_the_default_is_the_encoder_that_ships():
    own = embedder()
    assert own is embedder("minilm-tuned") is embedder(EMBEDDER)
    assert PACKAGED[0] == DEFAULT == EMBEDDER
    assert own.id != embedder("minilm").id
    for name, sha256 in read_json(SHIPPED / MANIFEST)["sha256"].items():
        assert sha256_file(SHIPPED / name) == sha256
    assert own.id == f"encoder:{sha256_file(SHIPPED / MODEL)[:12]}"
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 25e6
    assert pickle.loads(pickle.dumps(own)).id == own.id


def test_what_ships_was_trained_on_written_registries_alone():
    manifest = read_json(SHIPPED / MANIFEST)
    written = {"encoder_registries.jsonl": sha256_file(ENCODER_REGISTRIES)}
    assert all(digests == written for digests in manifest["train"].values())
    assert manifest["kept_out"] == {}
    assert manifest["recipe"]["steps"] == manifest["steps"]
    assert manifest["least_cosine"] > 0.99


def test_it_is_taken_to_other_processes(folder):
    taken = pickle.loads(pickle.dumps(embedder(f"encoder:{folder}")))
    assert taken.id == embedder(f"encoder:{folder}").id


@pytest.mark.parametrize("name", [MODEL, VOCABULARY])
def test_a_file_that_was_changed_or_is_gone_is_refused(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(InputError, match=f"{name} is not the one of the manifest"):
        embedder(f"encoder:{folder}")
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing"):
        embedder(f"encoder:{folder}")


@pytest.mark.parametrize("content", ["[]", "{}", '{"sha256": {"model.onnx": "1"}}'])
def test_a_manifest_without_digests_is_refused(folder, content):
    (folder / MANIFEST).write_text(content)
    with pytest.raises(InputError, match="names no sha256"):
        embedder(f"encoder:{folder}")


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match=r"encoder:.*manifest\.json is missing"):
        embedder(f"encoder:{tmp_path}/nothing")


@pytest.mark.parametrize(
    ("name", "content"),
    [(MODEL, b""), (MODEL, b"no graph"), (VOCABULARY, b"{}"), (VOCABULARY, b"\xff\xfe")],
)
def test_files_that_the_manifest_names_but_are_no_encoder_are_one_line(folder, name, content):
    (folder / name).write_bytes(content)
    sha256 = {name: sha256_file(folder / name) for name in (MODEL, VOCABULARY)}
    (folder / MANIFEST).write_text(json.dumps({"sha256": sha256}))
    with pytest.raises(InputError, match=r"cannot be used: .*; make it again") as caught:
        embedder(f"encoder:{folder}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("vector", [np.zeros(5), np.full(384, np.nan)])
def test_a_graph_of_other_vectors_is_refused(folder, vector, monkeypatch):
    one = Encoded(vector, np.zeros(0), np.zeros((0, 5)))
    monkeypatch.setattr(OnnxEncoder, "encode", lambda *_: [one])
    with pytest.raises(InputError, match="gives no 384 numbers"):
        embedder(f"encoder:{folder}")
