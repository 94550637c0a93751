"""Fine-tune a reranker on registries: shortlists, training, export, manifest.

A cross-encoder (Nogueira and Cho, Passage Re-ranking with BERT, 2019) that begins with MiniLM's
weights and learns what retrieval lacks: its score is added to retrieval's logits already while it
is trained.
"""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from optimize.data import Dataset
from optimize.finetune.checks import check_datasets
from optimize.finetune.encoder.base import BASE, LICENSE, PACKAGE, SHA256, base_folder
from optimize.finetune.encoder.export import write_encoder
from optimize.finetune.encoder.sources import sources_to_train_on
from optimize.finetune.reranker.lists import (
    Candidates,
    candidates_to_ask,
    candidates_to_train_on,
    draw_lists,
)
from optimize.finetune.reranker.recipe import RerankerRecipe
from optimize.finetune.reranker.trainer import TunedReranker, has_bf16, tune
from optimize.finetune.training_run import CHECKPOINTS, Progress, train_once
from task_delegator.embedders import Embedder, packaged_minilm
from task_delegator.errors import InputError
from task_delegator.rerankers import HEAD, MANIFEST, MODEL, VOCABULARY, CrossEncoder
from task_delegator.system import sha256_file, sha256_text, write_text

_ASKED = 12  # candidates of a request that retrieval gives
_VALIDATED = 200  # validation requests of a registry: more take minutes
_CHECKED = 40  # requests whose scores are compared after the export
_MOST_ERROR = 0.15  # of the exported scores, in standard deviations of those in float32
_LEAST_SPREAD = 0.01  # standard deviation of scores that say next to nothing
_FILES = (MODEL, VOCABULARY, HEAD)


@dataclass(frozen=True, slots=True)
class RerankerConfig:
    """Configuration of a fine-tuning.

    Attributes:
        out: folder of checkpoints, graph, tokenizer, last layer and manifest.
        threads: compute threads.
    """

    out: Path
    recipe: RerankerRecipe
    threads: int = 2


def finetune_reranker(
    train: Sequence[Dataset], kept_out: Sequence[Dataset], embed: Embedder, config: RerankerConfig
) -> dict[str, Any]:
    """Train, evaluate, export; return the manifest, which is written last.

    A run that was stopped goes on from its last evaluation: the batches follow from the seed.
    One that is done is not repeated.

    Args:
        train: registries to train on, by their train split and samples. Test and validation
            splits are not trained on.
        kept_out: registries whose validation split stops the training; nothing of them is
            trained on. None to train to the end.
        embed: of the retriever that makes shortlists.

    Raises:
        InputError: a registry is on both sides, none has requests, or the folder cannot be used,
            holds a run of another configuration or other code, or is used by another process.
    """
    check_datasets(train, kept_out, "kept out", "what is kept out needs them")
    recipe = config.recipe
    lists = _lists(sources_to_train_on(train, kept_out), embed, recipe)
    asked = {dataset.path.name: _asked(dataset, embed, recipe) for dataset in kept_out}
    identity = _identity(train, kept_out, embed, recipe, lists)

    def train_and_export(progress: Progress) -> dict[str, Any]:
        tuned = tune(
            base_folder(), lists, asked, recipe, config.out / CHECKPOINTS, progress.report,
            threads=config.threads,
        )  # fmt: skip
        return _export(tuned, lists, identity | progress.provenance(), config, progress.run_id)

    return train_once(
        config.out, "reranker", identity, {"reranker": BASE}, (*train, *kept_out), _FILES,
        train_and_export,
    )  # fmt: skip


def install_reranker(out: Path, target: Path) -> None:
    """Copy what a program reads of a reranker to another folder."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (*_FILES, MANIFEST):
        shutil.copy2(out / name, target / name)


def _asked(dataset: Dataset, embed: Embedder, recipe: RerankerRecipe) -> list[Candidates]:
    return candidates_to_ask(dataset, embed, size=_ASKED, limit=_VALIDATED, seed=recipe.seed)


def _lists(sources: Sequence[Dataset], embed: Embedder, recipe: RerankerRecipe) -> list[Candidates]:
    found = [
        candidates_to_train_on(dataset, embed, size=_ASKED, limit=recipe.requests, seed=recipe.seed)
        for dataset in sources
    ]
    return draw_lists(
        found,
        size=recipe.candidates,
        number=recipe.steps * recipe.batch,
        seed=recipe.seed,
    )


def _export(
    tuned: TunedReranker,
    lists: Sequence[Candidates],
    provenance: dict[str, Any],
    config: RerankerConfig,
    run_id: str,
) -> dict[str, Any]:
    # Beside the checkpoints until it is checked: what has a manifest counts as done.
    made = config.out / CHECKPOINTS / "export"
    made.mkdir(parents=True, exist_ok=True)
    packaged, _ = packaged_minilm()
    weight, bias = tuned.head
    write_encoder(packaged, tuned.weights, made / MODEL)
    shutil.copyfile(base_folder() / VOCABULARY, made / VOCABULARY)
    head = {"weight": [float(value) for value in weight], "bias": bias}
    write_text(made / HEAD, json.dumps(head) + "\n")
    libraries = ("torch", "transformers", "sentence-transformers", "onnx", "onnxruntime")
    manifest = {
        **provenance,
        "steps": tuned.steps,
        "curve": list(tuned.curve),
        "most_tokens": config.recipe.most_tokens,
        "bfloat16": has_bf16(),
        "sha256": {name: sha256_file(made / name) for name in _FILES},
        "versions": {name: version(name) for name in libraries},
        "mlflow_run_id": run_id,
    }
    write_text(made / MANIFEST, json.dumps(manifest) + "\n")
    manifest["export_error"] = _error(tuned, made, lists)
    for name in _FILES:
        shutil.copyfile(made / name, config.out / name)
    write_text(config.out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _error(tuned: TunedReranker, made: Path, lists: Sequence[Candidates]) -> float:
    """Return how far the exported scores are from those in float32, as a root mean square.

    Raises:
        InputError: too far: the export is not the reranker that was trained.
    """
    some = random.Random(0).sample(list(lists), min(_CHECKED, len(lists)))
    exported = CrossEncoder(str(made))
    scores = np.concatenate([exported.score(own.task, own.texts) for own in some])
    wanted = tuned.score([(own.task, text) for own in some for text in own.texts])
    error = float(np.sqrt(np.mean((scores - wanted) ** 2)))
    if error > _MOST_ERROR * max(float(wanted.std()), _LEAST_SPREAD):
        raise InputError(f"{made}: differs from what was trained: by {error:.4f} in the mean")
    return round(error, 5)


def _identity(
    train: Sequence[Dataset],
    kept_out: Sequence[Dataset],
    embed: Embedder,
    recipe: RerankerRecipe,
    lists: Sequence[Candidates],
) -> dict[str, Any]:
    drawn = json.dumps([[own.registry, own.task, *own.texts, *own.logits] for own in lists])
    return {
        "base": BASE,
        "base_package": PACKAGE,
        "base_sha256": SHA256["model.safetensors"],
        "base_license": LICENSE,
        "recipe": asdict(recipe),
        "train": {d.path.name: d.digests() for d in train},
        "kept_out": {d.path.name: d.digests() for d in kept_out},
        "embedder": embed.id,
        "drawn": sha256_text(drawn),
    }
