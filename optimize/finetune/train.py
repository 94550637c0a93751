"""Fine-tune the embedded LM on labeled shortlists: training loop, evaluation, export.

DSPy's BootstrapFinetune does not fit: it trains on traces with a correct answer, and the raw LM
gives almost none. Here the labels are the targets, over shortlists in random order. The prompt is
that of ``ClassifyAgent``, as DSPy's adapter writes it.
"""

import json
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from optimize.checkpoint import Checkpoint, code_digest, refuse
from optimize.data import Dataset
from optimize.finetune.checks import check_datasets
from optimize.finetune.decontaminate import decontaminate
from optimize.finetune.gguf_adapter import write_adapter
from optimize.finetune.learning_curve import choose_checkpoint, read_curve, should_stop
from optimize.finetune.lora import Model, Recipe, Trainer, batches
from optimize.finetune.order_sensitivity import picks
from optimize.finetune.shortlists import RetrievedRequests, Shortlist, draw_shortlists
from optimize.provenance import commit
from optimize.tracking import run as track
from task_delegator.embedders import Embedder
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.lm import ADAPTER, MANIFEST
from task_delegator.system import sha256_file, sha256_text, write_text

CHECKPOINT, BEST, CURVE = "checkpoint.pt", "best.pt", "course.jsonl"
_PROBES = 12  # shortlists whose beliefs the manifest keeps, for the served adapter to repeat


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Configuration of a fine-tuning.

    Attributes:
        out: folder of checkpoint, learning curve, adapter and manifest.
        base: the GGUF file of the LM.
        every: examples between evaluations.
        held_out: shortlists of each held-out registry, per evaluation.
        patience: evaluations without a better one before training stops.
        size: of the shortlists that are evaluated.
        threads: compute threads.
    """

    out: Path
    base: Path
    recipe: Recipe
    every: int = 400
    held_out: int = 12
    patience: int = 4
    size: int = 5
    threads: int = 2


def finetune(
    train: Sequence[Dataset],
    held_out_datasets: Sequence[Dataset],
    knobs: KnobValues,
    embed: Embedder,
    config: TrainingConfig,
) -> dict[str, Any]:
    """Train, evaluate, export; return the manifest, which is written last.

    A run that was stopped goes on from its last evaluation: the shortlists follow from the
    seed. The adapter is that of the best evaluation.

    Args:
        train: registries to train on: their train split and the agents' samples, or the
            validation split where there is no train split, after ``decontaminate``. Test splits
            are never trained on.
        held_out_datasets: registries to evaluate on, by their validation split, which also
            chooses the exported checkpoint.

    Raises:
        InputError: a registry is on both sides, has no requests, or the folder cannot be used,
            holds a run of another configuration or other code, or is used by another process.
    """
    _check(train, held_out_datasets)
    seed = config.recipe.seed
    decontaminated = decontaminate(train, held_out_datasets)
    sources = [_source(dataset, knobs, embed, seed) for dataset in decontaminated]
    shortlists = list(draw_shortlists(sources, config.recipe.examples, seed))
    held_out_shortlists = {
        dataset.path.name: _held_out(dataset, knobs, embed, config) for dataset in held_out_datasets
    }
    identity = _identity(train, held_out_datasets, knobs, embed, config, shortlists)
    whole = identity | {"code": code_digest()}
    with Checkpoint(config.out, whole, on_change=refuse, kind="adapter") as checkpoint:
        first_commit = checkpoint.load("begun") or commit()
        checkpoint.save("begun", first_commit)
        model = Model(config.base, config.recipe, config.threads)
        trainer = Trainer(model, config.recipe)
        tags = {
            "kind": "finetune",
            "lm": config.base.stem,
            "embedder": embed.id,
            "commit": first_commit,
        }
        with track.run(f"finetune {config.base.stem}", tags) as run:
            run.log_params(identity)
            for dataset in (*train, *held_out_datasets):
                run.log_dataset(dataset)
            curve = _train(trainer, shortlists, held_out_shortlists, config, run)
            trainer.load(config.out / BEST)
            provenance = identity | {
                "commit": first_commit,
                "left_out": _count_removed(train, decontaminated),
            }
            manifest = _export(trainer, held_out_shortlists, provenance, curve, config, run.id)
            run.log_files(config.out, (ADAPTER, MANIFEST, CURVE), "adapter")
        return manifest


def _train(
    trainer: Trainer,
    shortlists: Sequence[Shortlist],
    held_out_shortlists: dict[str, list[Shortlist]],
    config: TrainingConfig,
    run: track.Run,
) -> list[dict[str, Any]]:
    """Train to the end or until evaluations no longer improve; return the learning curve."""
    curve = read_curve(config.out / CURVE)
    if (config.out / CHECKPOINT).is_file():
        trainer.load(config.out / CHECKPOINT)
    done = trainer.step * config.recipe.batch
    curve = [row for row in curve if row["examples"] <= done]
    spent = curve[-1]["minutes"] * 60 if curve else 0.0
    started, losses = time.perf_counter(), []

    def evaluate() -> None:
        """Evaluate, append to the learning curve and save the state."""
        scores = {
            name: _evaluate(trainer.model, part) for name, part in held_out_shortlists.items()
        }
        row: dict[str, Any] = {
            "examples": trainer.step * config.recipe.batch,
            "minutes": round((spent + time.perf_counter() - started) / 60, 2),
            "loss": sum(losses) / len(losses) if losses else None,
            "held_out": scores,
            "score": sum(part["both"] for part in scores.values()) / len(scores),
        }
        curve.append(row)
        losses.clear()
        if choose_checkpoint(curve) == len(curve) - 1:
            trainer.save(config.out / BEST)
        write_text(config.out / CURVE, "".join(json.dumps(r) + "\n" for r in curve))
        trainer.save(config.out / CHECKPOINT)
        for name, part in scores.items():
            run.log_metrics(part, f"{name}/", step=row["examples"])
        run.log_metrics({"loss": row["loss"] or 0.0, "score": row["score"]}, step=row["examples"])

    if not curve:
        evaluate()
    bar = tqdm(total=config.recipe.examples, initial=done, desc="finetune", unit="example")
    for number, batch in enumerate(batches(shortlists, config.recipe.batch, trainer.model.tokens)):
        if should_stop(curve, config.patience):
            break
        if number < trainer.step:
            continue
        losses.append(trainer.train(batch))
        bar.update(len(batch))
        bar.set_postfix(loss=f"{losses[-1]:.2f}")
        done, last = trainer.step * config.recipe.batch, trainer.step == config.recipe.steps
        due = done // config.every > (done - len(batch)) // config.every
        if due or last:
            evaluate()
    bar.close()
    return curve


def _evaluate(model: Model, shortlists: Sequence[Shortlist]) -> dict[str, float]:
    in_order = _beliefs(model, shortlists)
    in_reverse = _beliefs(model, [shortlist.reversed() for shortlist in shortlists])
    found = picks([shortlist.acceptable for shortlist in shortlists], in_order, in_reverse)
    return {"n": len(shortlists), **found.means()}


def _beliefs(model: Model, shortlists: Sequence[Shortlist]) -> list[Any]:
    found = []
    for start in range(0, len(shortlists), 8):
        found += model.beliefs(shortlists[start : start + 8])
    return found


def _export(
    trainer: Trainer,
    held_out_shortlists: dict[str, list[Shortlist]],
    identity: dict[str, Any],
    curve: list[dict[str, Any]],
    config: TrainingConfig,
    run_id: str,
) -> dict[str, Any]:
    model, path = trainer.model, config.out / ADAPTER
    write_adapter(
        path,
        {name: tensor.numpy() for name, tensor in model.trained().items()},
        alpha=config.recipe.alpha,
        heads=model.config.num_attention_heads,
        kv_heads=model.config.num_key_value_heads,
        name=f"{config.base.stem} select agent",
    )
    probes = [shortlist for part in held_out_shortlists.values() for shortlist in part]
    probes = random.Random(config.recipe.seed).sample(probes, min(_PROBES, len(probes)))
    manifest = {
        **identity,
        "sha256": sha256_file(path),
        "examples": trainer.step * config.recipe.batch,
        "hours": round(curve[-1]["minutes"] / 60, 2),
        "course": curve,
        "probes": [
            {**shortlist.inputs(), "belief": [round(float(p), 4) for p in belief]}
            for shortlist, belief in zip(probes, _beliefs(model, probes), strict=True)
        ],
        "versions": {
            name: version(name) for name in ("torch", "transformers", "peft", "gguf", "dspy")
        },
        "mlflow_run_id": run_id,
    }
    write_text(config.out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def install(out: Path, target: Path) -> None:
    """Copy an adapter and its manifest to where the package looks for them."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (ADAPTER, MANIFEST):
        shutil.copy2(out / name, target / name)


def _source(dataset: Dataset, knobs: KnobValues, embed: Embedder, seed: int) -> RetrievedRequests:
    return RetrievedRequests(dataset, [_split(dataset)], knobs, embed, samples=True, seed=seed)


def _split(dataset: Dataset) -> str:
    """Return which split is trained on."""
    return "train" if dataset.splits["train"] else "validation"


def _held_out(
    dataset: Dataset, knobs: KnobValues, embed: Embedder, config: TrainingConfig
) -> list[Shortlist]:
    found = RetrievedRequests(
        dataset, ["validation"], knobs, embed, limit=config.held_out * 2, seed=config.recipe.seed
    ).shortlists(config.size)
    if not found:
        raise InputError(f"{dataset.path}: no validation request has its agent on the shortlist")
    return found[: config.held_out]


def _count_removed(whole: Sequence[Dataset], kept: Sequence[Dataset]) -> dict[str, int]:
    """Return how many requests and samples of each training registry were removed."""

    def texts(dataset: Dataset) -> int:
        requests = dataset.splits[_split(dataset)]
        return len(requests) + sum(len(a.user_request_samples) for a in dataset.registry)

    return {
        every.path.name: texts(every) - texts(rest) for every, rest in zip(whole, kept, strict=True)
    }


def _digest(shortlists: Sequence[Shortlist]) -> str:
    """Return the digest of what is trained on: the prompts as they are served, and the slots."""
    shown = [[shortlist.messages(), shortlist.slot] for shortlist in shortlists]
    return sha256_text(json.dumps(shown))


def _check(train: Sequence[Dataset], held_out_datasets: Sequence[Dataset]) -> None:
    check_datasets(train, held_out_datasets, "held out", "held-out datasets need them")
    for dataset in train:
        if not (dataset.splits["train"] or dataset.splits["validation"]):
            raise InputError(f"{dataset.path}: no train or validation requests to train on")


def _identity(
    train: Sequence[Dataset],
    held_out_datasets: Sequence[Dataset],
    knobs: KnobValues,
    embed: Embedder,
    config: TrainingConfig,
    shortlists: Sequence[Shortlist],
) -> dict[str, Any]:
    return {
        "base": config.base.name,
        "base_sha256": sha256_file(config.base),
        "recipe": asdict(config.recipe),
        "train": {d.path.name: d.digests() for d in train},
        "kept_out": {d.path.name: d.digests() for d in held_out_datasets},
        "knobs": knobs.model_dump(),
        "embedder": embed.id,
        "every": config.every,
        "held_out": config.held_out,
        "size": config.size,
        "drawn": _digest(shortlists),
    }
