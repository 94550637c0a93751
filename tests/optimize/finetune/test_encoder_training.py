"""Training an encoder itself; needs the extras ``encoder`` and ``finetune``, and the base."""

import json
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from small import HashedWords, small_dataset
from tracking import empty_store

from optimize.data.dataset import load_dataset
from optimize.finetune.encoder.base import base_folder
from optimize.finetune.encoder.export import write_encoder
from optimize.finetune.encoder.recipe import EncoderRecipe
from task_delegator.embedders import MODEL, Encoded, embedder, packaged_minilm
from task_delegator.errors import InputError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries' own


@pytest.fixture(scope="module")
def base():
    """Return the base encoder's folder, or skip where no network brings it."""
    for package in ("torch", "transformers", "sentence_transformers", "onnx"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extras encoder and finetune)")
    try:
        return base_folder()
    except InputError as error:
        pytest.skip(str(error))


def _weights(base):
    library: Any = import_module("safetensors.numpy")
    return library.load_file(base / "model.safetensors")


def test_the_export_of_the_base_is_the_packaged_graph_bit_by_bit(tmp_path, base):
    packaged, _ = packaged_minilm()
    write_encoder(packaged, _weights(base), tmp_path / MODEL)
    assert (tmp_path / MODEL).read_bytes() == packaged.read_bytes()


def test_weights_that_do_not_fit_the_graph_are_refused(tmp_path, base):
    weights = _weights(base)
    packaged, _ = packaged_minilm()
    name = "encoder.layer.5.output.dense.weight"
    with pytest.raises(InputError, match="shape"):
        write_encoder(packaged, weights | {name: weights[name].T}, tmp_path / MODEL)
    del weights[name]
    with pytest.raises(InputError, match=f"has no weight '{name}'"):
        write_encoder(packaged, weights, tmp_path / MODEL)
    assert not (tmp_path / MODEL).exists()


def test_a_run_goes_on_where_it_was_stopped_and_its_encoder_serves(tmp_path, monkeypatch, base):
    from optimize.finetune.encoder import train as training
    from optimize.finetune.encoder.trainer import library

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    train = load_dataset(small_dataset(tmp_path / "train"))
    kept_out = load_dataset(small_dataset(tmp_path / "kept", agents=6))
    recipe = EncoderRecipe(steps=6, batch=6, rate=2e-4, first=5, every=2, teacher="")
    config = training.EncoderConfig(tmp_path / "out", recipe, threads=1)
    step = library.SentenceTransformerTrainer.training_step

    def stopped(self, *args, **kwargs):
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(library.SentenceTransformerTrainer, "training_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            training.finetune_encoder([train], [kept_out], HashedWords(), config)
    assert not (config.out / "manifest.json").exists()
    manifest = training.finetune_encoder([train], [kept_out], HashedWords(), config)
    assert [row["step"] for row in manifest["curve"]] == [0, 2, 4, 6]
    whole = replace(config, out=tmp_path / "whole")
    unbroken = training.finetune_encoder([train], [kept_out], HashedWords(), whole)
    assert manifest["curve"] == unbroken["curve"]
    assert json.loads((config.out / "manifest.json").read_text()) == manifest
    assert manifest["least_cosine"] > 0.99
    tuned, before = embedder(f"encoder:{config.out}"), embedder("minilm")
    texts = ["where is my invoice"]
    cosine = float(tuned.encode(texts)[0].vector @ before.encode(texts)[0].vector)
    assert np.isfinite(cosine)
    assert cosine < 0.9999


def test_an_encoder_comes_closer_to_its_teacher(tmp_path, monkeypatch, base):
    from optimize.finetune.encoder import train as training

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    data = load_dataset(small_dataset(tmp_path / "data"))
    teacher = _ByLetter()
    monkeypatch.setattr(training, "embedder", lambda spec: teacher)
    recipe = EncoderRecipe(steps=12, batch=6, rate=5e-4, first=4, teacher="letters", taught=1.0)
    config = training.EncoderConfig(tmp_path / "taught", recipe)
    manifest = training.finetune_encoder([data], [], HashedWords(), config)
    assert manifest["teacher"] == teacher.id
    texts = sorted({request.text for request in data.splits["train"]})
    aim = _softmax(teacher, texts)
    reached = [_softmax(embedder(spec), texts) for spec in ("minilm", f"encoder:{config.out}")]
    apart = [float((aim * np.log(aim / own)).sum()) for own in reached]
    assert apart[1] < 0.8 * apart[0]


class _ByLetter:
    """Texts are close whose second letters are."""

    id = "letters"

    def encode(self, texts):
        turns = [(ord(text[1]) % 8) / 4 * np.pi for text in texts]
        vectors = np.array([(np.cos(turn), np.sin(turn)) for turn in turns], dtype=np.float32)
        return [Encoded(vector, np.zeros(0), np.zeros((0, 2), np.int8)) for vector in vectors]


def _softmax(embed, texts):
    vectors = np.stack([encoded.vector for encoded in embed.encode(texts)])
    similar = np.exp(20 * vectors @ vectors.T)
    return similar / similar.sum(axis=1, keepdims=True)


def test_a_registry_gets_an_encoder_of_its_own_once(tmp_path, monkeypatch, base):
    from optimize.finetune.encoder import train as training

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    monkeypatch.setattr(training, "ADAPTED", EncoderRecipe(steps=3, batch=6, teacher=""))
    data = load_dataset(small_dataset(tmp_path / "data"))
    spec = training.adapt_encoder(data, tmp_path / "own", seed=1)
    assert embedder(spec).id != embedder("minilm").id
    made = json.loads((tmp_path / "own" / "manifest.json").read_text())
    assert (made["steps"], made["kept_out"], made["recipe"]["seed"]) == (3, {}, 1)
    written = (tmp_path / "own" / MODEL).stat().st_mtime_ns
    assert training.adapt_encoder(data, tmp_path / "own", seed=1) == spec
    assert (tmp_path / "own" / MODEL).stat().st_mtime_ns == written


def test_a_registry_on_both_sides_is_refused(tmp_path, base):
    from optimize.finetune.encoder.train import EncoderConfig, finetune_encoder

    data = load_dataset(small_dataset(tmp_path / "data"))
    config = EncoderConfig(tmp_path / "out", EncoderRecipe(steps=1, teacher=""))
    with pytest.raises(InputError, match="either trained on or kept out"):
        finetune_encoder([data], [data], HashedWords(), config)
