"""Training itself; needs the extra ``finetune``."""

import json
from dataclasses import replace

import numpy as np
import pytest
from probes import served
from small import HashedWords, small_dataset
from tracking import empty_store

for package in ("torch", "transformers", "peft", "gguf"):
    pytest.importorskip(package, reason="the extra finetune is not installed")


from optimize.data.dataset import load_dataset
from optimize.finetune.gguf_adapter import interleaved
from optimize.finetune.lora import Recipe, Trainer
from optimize.finetune.train import CURVE, TrainingConfig, finetune
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.lm.specs import language_model
from task_delegator.lm.weights import ADAPTER, packaged

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries' own


def test_a_run_goes_on_where_it_was_stopped_and_its_adapter_serves(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    train = load_dataset(small_dataset(tmp_path / "train"))
    kept_out = load_dataset(small_dataset(tmp_path / "kept", agents=6))
    recipe = Recipe(examples=16, batch=4, warmup=1, rate=2e-3)
    plan = TrainingConfig(tmp_path / "out", packaged(), recipe, every=8, held_out=2, size=3)
    step = Trainer.train

    def stopped(self, batch):
        if self.step == 3:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", stopped)
        with pytest.raises(KeyboardInterrupt):
            finetune([train], [kept_out], KnobValues(), HashedWords(), plan)
    half = [json.loads(line) for line in (plan.out / CURVE).read_text().splitlines()]
    assert not (plan.out / ADAPTER).exists()
    manifest = finetune([train], [kept_out], KnobValues(), HashedWords(), plan)
    assert [row["examples"] for row in half] == [0, 8]
    assert [row["examples"] for row in manifest["course"]] == [0, 8, 16]
    assert manifest["course"][:2] == half
    whole = replace(plan, out=tmp_path / "whole")
    unbroken = finetune([train], [kept_out], KnobValues(), HashedWords(), whole)
    assert manifest["course"][2]["loss"] == pytest.approx(unbroken["course"][2]["loss"], rel=1e-3)
    assert (plan.out / ADAPTER).stat().st_size < 12e6
    lm = language_model(f"embedded:{plan.out / ADAPTER}", prompt_cache=False)
    for probe in manifest["probes"]:
        assert served(lm, probe) == pytest.approx(probe["belief"], abs=0.1)


def test_rows_are_interleaved_head_by_head():
    rows = np.arange(8)[:, None]
    assert interleaved(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_a_registry_is_either_trained_on_or_kept_out(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path / "one"))
    plan = TrainingConfig(tmp_path / "out", packaged(), Recipe())
    with pytest.raises(InputError, match="either trained on or kept out"):
        finetune([dataset], [dataset], KnobValues(), HashedWords(), plan)
