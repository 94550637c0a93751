"""Fine-tune an encoder on registries: pairs, training, export, manifest.

Contrastive, with the batch as negatives, and taught by a larger encoder (see ``loss``). Word
embeddings and lower layers stay as they are, and the tuned weights may be averaged with the base's
(WiSE-FT; Wortsman et al., 2022): what the base knows of other texts is to be kept.
"""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from optimize.data import Dataset
from optimize.finetune.checks import check_datasets
from optimize.finetune.encoder.base import (
    BASE,
    BASE_SPEC,
    DIMENSIONS,
    LICENSE,
    MOST_TOKENS,
    PACKAGE,
    SHA256,
    base_folder,
)
from optimize.finetune.encoder.batches import draw_batches
from optimize.finetune.encoder.export import write_encoder
from optimize.finetune.encoder.pairs import Pair
from optimize.finetune.encoder.recipe import ADAPTED, EncoderRecipe
from optimize.finetune.encoder.sources import sources_to_train_on
from optimize.finetune.encoder.teacher import Teacher, ask_teacher
from optimize.finetune.encoder.trainer import Tuned, encode, tune
from optimize.finetune.encoder.validation import questions
from optimize.finetune.training_run import CHECKPOINTS, Progress, train_once
from task_delegator.embedders import (
    MANIFEST,
    MODEL,
    VOCABULARY,
    Embedder,
    OnnxEncoder,
    embedder,
    packaged_minilm,
)
from task_delegator.errors import InputError
from task_delegator.system import sha256_file, sha256_text, write_text

_CHECKED = 200  # texts whose vectors are compared after the export
_LEAST_COSINE = 0.99  # of each with the float32 vector


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Configuration of a fine-tuning.

    Attributes:
        out: folder of checkpoints, graph, tokenizer and manifest.
        threads: compute threads.
    """

    out: Path
    recipe: EncoderRecipe
    threads: int = 2


def finetune_encoder(
    train: Sequence[Dataset], kept_out: Sequence[Dataset], embed: Embedder, config: EncoderConfig
) -> dict[str, Any]:
    """Train, evaluate, export; return the manifest, which is written last.

    A run that was stopped goes on from its last evaluation: the batches follow from the seed.
    One that is done is not repeated.

    Args:
        train: registries to train on, by their train split, samples, descriptions and
            instructions. Test and validation splits are not trained on.
        kept_out: registries whose validation split stops the training; nothing of them is
            trained on. None to train to the end.
        embed: finds the agents that are taken for each other.

    Raises:
        InputError: a registry is on both sides, has no requests, or the folder cannot be used,
            holds a run of another configuration or other code, or is used by another process.
    """
    check_datasets(train, kept_out, "kept out", "what is kept out needs them")
    recipe, folder = config.recipe, config.out / CHECKPOINTS
    sources = sources_to_train_on(train, kept_out)
    batches = draw_batches(sources, embed, recipe)
    asked = [questions(dataset, recipe.seed) for dataset in kept_out]
    identity = _identity(train, kept_out, embed, recipe, batches)

    def train_and_export(progress: Progress) -> dict[str, Any]:
        tuned = tune(
            base_folder(), batches, asked, recipe, folder, progress.report,
            teacher=_told(batches, recipe, folder), threads=config.threads,
        )  # fmt: skip
        return _export(tuned, batches, identity | progress.provenance(), config, progress.run_id)

    return train_once(
        config.out, "encoder", identity, {"embedder": BASE}, (*train, *kept_out),
        (MODEL, VOCABULARY), train_and_export,
    )  # fmt: skip


def _told(batches: Sequence[Sequence[Pair]], recipe: EncoderRecipe, folder: Path) -> Teacher | None:
    """Return what the recipe's teacher makes of all pairs, None without one."""
    if not recipe.teacher:
        return None
    folder.mkdir(exist_ok=True)
    pairs = [pair for batch in batches for pair in batch]
    return ask_teacher(embedder(recipe.teacher), pairs, folder / "teacher")


def adapt_encoder(dataset: Dataset, out: Path, seed: int) -> str:
    """Fine-tune the encoder on one registry alone; return its spec.

    Args:
        dataset: its samples, train requests, descriptions and instructions are trained on.
        out: folder of the encoder.
        seed: of the batches.

    Raises:
        InputError: the registry has no two agents with two texts, or the folder cannot be used.
    """
    config = EncoderConfig(out, replace(ADAPTED, seed=seed))
    finetune_encoder([dataset], [], embedder(BASE_SPEC), config)
    return f"encoder:{out}"


def install_encoder(out: Path, target: Path) -> None:
    """Copy graph, tokenizer and manifest to where the package looks for them."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (MODEL, VOCABULARY, MANIFEST):
        shutil.copy2(out / name, target / name)


def _export(
    tuned: Tuned,
    batches: Sequence[Sequence[Pair]],
    provenance: dict[str, Any],
    config: EncoderConfig,
    run_id: str,
) -> dict[str, Any]:
    packaged, _ = packaged_minilm()
    graph, vocabulary = config.out / MODEL, config.out / VOCABULARY
    write_encoder(packaged, tuned.model[0].weights(), graph)
    shutil.copyfile(base_folder() / VOCABULARY, vocabulary)
    libraries = ("torch", "transformers", "sentence-transformers", "onnx", "onnxruntime")
    manifest = {
        **provenance,
        "steps": tuned.steps,
        "curve": list(tuned.curve),
        "least_cosine": _least_cosine(tuned, graph, vocabulary, batches),
        "sha256": {MODEL: sha256_file(graph), VOCABULARY: sha256_file(vocabulary)},
        "versions": {name: version(name) for name in libraries},
        "mlflow_run_id": run_id,
    }
    write_text(config.out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _least_cosine(
    tuned: Tuned, graph: Path, vocabulary: Path, batches: Sequence[Sequence[Pair]]
) -> float:
    """Return the least cosine of the exported encoder's vectors with those in float32.

    Raises:
        InputError: it is too low: the export is not the encoder that was trained.
    """
    texts = sorted({text for batch in batches for p in batch for text in (p.anchor, p.positive)})
    texts = random.Random(0).sample(texts, min(_CHECKED, len(texts)))
    exported = OnnxEncoder(graph, vocabulary, MOST_TOKENS, DIMENSIONS).encode(texts)
    vectors = np.stack([encoded.vector for encoded in exported])
    least = float((encode(tuned.model, texts) * vectors).sum(axis=1).min())
    if least < _LEAST_COSINE:
        raise InputError(f"{graph}: differs from what was trained: a cosine of {least:.4f}")
    return round(least, 5)


def _identity(
    train: Sequence[Dataset],
    kept_out: Sequence[Dataset],
    embed: Embedder,
    recipe: EncoderRecipe,
    batches: Sequence[Sequence[Pair]],
) -> dict[str, Any]:
    drawn = json.dumps([[asdict(pair) for pair in batch] for batch in batches])
    return {
        "base": BASE,
        "base_package": PACKAGE,
        "base_sha256": SHA256["model.safetensors"],
        "base_license": LICENSE,
        "recipe": asdict(recipe),
        "train": {d.path.name: d.digests() for d in train},
        "kept_out": {d.path.name: d.digests() for d in kept_out},
        "embedder": embed.id,
        "teacher": embedder(recipe.teacher).id if recipe.teacher else "",
        "drawn": sha256_text(drawn),
    }
