"""Training a reranker itself; needs the extras ``encoder`` and ``finetune``, and the base."""

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from small import HashedWords, small_dataset
from tracking import empty_store

from optimize.data.dataset import load_dataset
from optimize.finetune.encoder.base import base_folder
from optimize.finetune.reranker.recipe import RerankerRecipe
from task_delegator.errors import InputError
from task_delegator.rerankers import reranker

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries' own
RECIPE = RerankerRecipe(
    steps=6, batch=4, candidates=3, requests=60, rate=2e-4, head_rate=1e-2, first=4, every=2
)


@pytest.fixture(scope="module", autouse=True)
def base():
    """Return the base encoder's folder, or skip where no network brings it."""
    for package in ("torch", "transformers", "sentence_transformers", "onnx"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extras encoder and finetune)")
    try:
        return base_folder()
    except InputError as error:
        pytest.skip(str(error))


def test_a_reranker_begins_by_changing_nothing_and_its_lower_layers_stay(base):
    from optimize.finetune.reranker.trainer import cross_encoder, score

    model = cross_encoder(base, RECIPE)
    assert score(model, [("a task", "an agent"), ("another", "agent")]).tolist() == [0, 0]
    free = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert not any("embeddings" in name or ".layer.3." in name for name in free)
    assert any(".layer.4." in name for name in free)


def test_the_loss_of_scores_that_say_nothing_is_that_of_retrieval(base):
    from optimize.finetune.reranker.trainer import functional, loss_of_one, torch

    logits, right = torch.tensor([0.0, -1.0, -2.0]), torch.tensor([1.0, 0.0, 0.0])
    nothing = torch.zeros(3)
    alone = functional.binary_cross_entropy_with_logits(nothing, right)
    expected = -torch.log_softmax(logits, dim=0)[0]
    given = loss_of_one(nothing, logits, right)
    none = loss_of_one(nothing, logits, torch.zeros(3))
    share = float((given - expected) / alone)
    assert 0 <= share < 1
    assert float(none) == pytest.approx(share * float(alone))
    assert loss_of_one(torch.tensor([1.0, 0.0, 0.0]), logits, right) < given


def test_a_run_goes_on_where_it_was_stopped_and_its_reranker_serves(tmp_path, monkeypatch):
    from optimize.finetune.reranker import train as training
    from optimize.finetune.reranker.trainer import library

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    train = load_dataset(small_dataset(tmp_path / "train"))
    kept_out = load_dataset(small_dataset(tmp_path / "kept", agents=6))
    config = training.RerankerConfig(tmp_path / "out", RECIPE, threads=1)
    step = library.CrossEncoderTrainer.training_step

    def stopped(self, *args, **kwargs):
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(library.CrossEncoderTrainer, "training_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            training.finetune_reranker([train], [kept_out], HashedWords(), config)
    assert not (config.out / "manifest.json").exists()
    manifest = training.finetune_reranker([train], [kept_out], HashedWords(), config)
    assert [row["step"] for row in manifest["curve"]] == [0, 2, 4, 6]
    before = manifest["curve"][0]
    assert before["kept_top1"] == before["kept_retrieval_top1"]
    whole = replace(config, out=tmp_path / "whole")
    unbroken = training.finetune_reranker([train], [kept_out], HashedWords(), whole)
    assert manifest["curve"] == unbroken["curve"]
    assert json.loads((config.out / "manifest.json").read_text()) == manifest
    assert not (config.out / "checkpoints").exists()
    tuned = reranker(str(config.out))
    texts = ["Invoices | where is the invoice", "Trips"]
    scores = np.asarray(tuned.score("where is my invoice", texts))
    assert np.isfinite(scores).all()
    assert scores.std() > 0
    written = (config.out / "model.onnx").stat().st_mtime_ns
    assert training.finetune_reranker([train], [kept_out], HashedWords(), config) == manifest
    assert (config.out / "model.onnx").stat().st_mtime_ns == written
    training.install_reranker(config.out, tmp_path / "installed")
    assert reranker(str(tmp_path / "installed")).id == tuned.id


def test_one_registry_is_trained_on_to_the_end_with_nothing_kept_out(tmp_path, monkeypatch):
    from optimize.finetune.reranker import train as training

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    data = load_dataset(small_dataset(tmp_path / "data"))
    config = training.RerankerConfig(tmp_path / "own", replace(RECIPE, steps=3, seed=1), threads=1)
    made = training.finetune_reranker([data], [], HashedWords(), config)
    assert (made["steps"], made["kept_out"], made["curve"]) == (3, {}, [])
    assert made["recipe"]["seed"] == 1
    assert made["most_tokens"] == RECIPE.most_tokens
    assert made["base_license"] == "Apache-2.0"
    assert set(made["train"]) == {"data"}


def test_an_export_that_differs_from_what_was_trained_is_refused(tmp_path, monkeypatch):
    from optimize.finetune.reranker import train as training

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    data = load_dataset(small_dataset(tmp_path / "data"))
    config = training.RerankerConfig(tmp_path / "own", replace(RECIPE, steps=2), threads=1)
    tune = training.tune

    def other_head(*args, **kwargs):
        tuned = tune(*args, **kwargs)
        return replace(tuned, head=(tuned.head[0], tuned.head[1] + 1))

    monkeypatch.setattr(training, "tune", other_head)
    with pytest.raises(InputError, match="differs from what was trained"):
        training.finetune_reranker([data], [], HashedWords(), config)
    assert not (config.out / "manifest.json").exists()


def test_a_registry_on_both_sides_is_refused(tmp_path):
    from optimize.finetune.reranker.train import RerankerConfig, finetune_reranker

    data = load_dataset(small_dataset(tmp_path / "data"))
    config = RerankerConfig(tmp_path / "out", RECIPE)
    with pytest.raises(InputError, match="either trained on or kept out"):
        finetune_reranker([data], [data], HashedWords(), config)
