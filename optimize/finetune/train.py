"""Fine-tune the embedded LM for the one decision that ``ClassifyAgent`` asks of it.

Beside DSPy's BootstrapFinetune, not through it: that trains on traces of a program that got
its answer right, and the raw LM gets almost none right; what is to be learned here comes from
labels, over shortlists in any order. The prompt is the one that DSPy's adapter serves.
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
from optimize.finetune.decontaminate import apart
from optimize.finetune.gguf_adapter import write_adapter
from optimize.finetune.learning_curve import best_state, exhausted, read_course
from optimize.finetune.lora import Model, Recipe, Trainer, batches
from optimize.finetune.order_sensitivity import picks
from optimize.finetune.shortlists import Retrieved, Shortlist, draw
from optimize.provenance import commit
from optimize.tracking import run as track
from task_delegator.embedders import Embedder
from task_delegator.errors import InputError
from task_delegator.files import sha256_file, sha256_text, write_text
from task_delegator.knobs import KnobValues
from task_delegator.lm import ADAPTER, MANIFEST

CHECKPOINT, BEST, COURSE = "checkpoint.pt", "best.pt", "course.jsonl"
_PROBES = 12  # shortlists whose beliefs the manifest keeps, for the served adapter to repeat


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """What a fine-tuning was asked to do.

    Attributes:
        out: folder of checkpoint, course, adapter and manifest.
        base: the GGUF file of the LM.
        every: examples between evaluations.
        held_out: shortlists of each registry kept out, per evaluation.
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
    kept_out: Sequence[Dataset],
    knobs: KnobValues,
    embed: Embedder,
    plan: TrainingConfig,
) -> dict[str, Any]:
    """Train, evaluate, export; return the manifest, which is written last.

    A run that was stopped goes on from its last evaluation: the shortlists follow from the
    seed. The adapter is that of the best evaluation.

    Args:
        train: registries to train on: their train split and the agents' samples, or the
            validation split where there is no train split, ``apart`` from what has to stay
            unseen. Test splits are never trained on.
        kept_out: registries to evaluate on, by their validation split, which also chooses the
            state that is exported.

    Raises:
        InputError: a registry is on both sides, has no requests, or the folder cannot be used,
            holds the run of another plan or other code, or is used by another process.
    """
    _check(train, kept_out)
    seed = plan.recipe.seed
    apart_ones = apart(train, kept_out)
    sources = [_source(dataset, knobs, embed, seed) for dataset in apart_ones]
    shortlists = list(draw(sources, plan.recipe.examples, seed))
    judged = {dataset.path.name: _held_out(dataset, knobs, embed, plan) for dataset in kept_out}
    identity = _identity(train, kept_out, knobs, embed, plan) | {"drawn": _digest(shortlists)}
    whole = identity | {"code": code_digest()}
    with Checkpoint(plan.out, whole, on_change=refuse, kind="adapter") as checkpoint:
        begun = checkpoint.load("begun") or commit()
        checkpoint.save("begun", begun)
        model = Model(plan.base, plan.recipe, plan.threads)
        trainer = Trainer(model, plan.recipe)
        tags = {"kind": "finetune", "lm": plan.base.stem, "embedder": embed.id, "commit": begun}
        with track.run(f"finetune {plan.base.stem}", tags) as run:
            run.log_params(identity)
            for dataset in (*train, *kept_out):
                run.log_dataset(dataset)
            course = _train(trainer, shortlists, judged, plan, run)
            trainer.load(plan.out / BEST)
            known = identity | {"commit": begun, "left_out": _left_out(train, apart_ones)}
            manifest = _export(trainer, judged, known, course, plan, run.id)
            run.log_files(plan.out, (ADAPTER, MANIFEST, COURSE), "adapter")
        return manifest


def _train(
    trainer: Trainer,
    shortlists: Sequence[Shortlist],
    judged: dict[str, list[Shortlist]],
    plan: TrainingConfig,
    run: track.Run,
) -> list[dict[str, Any]]:
    """Train to the end or until evaluations no longer improve; return the course."""
    course = read_course(plan.out / COURSE)
    if (plan.out / CHECKPOINT).is_file():
        trainer.load(plan.out / CHECKPOINT)
    done = trainer.step * plan.recipe.batch
    course = [row for row in course if row["examples"] <= done]
    spent = course[-1]["minutes"] * 60 if course else 0.0
    started, losses = time.perf_counter(), []

    def judge() -> None:
        """Evaluate and keep the state."""
        found = {name: _judged(trainer.model, own) for name, own in judged.items()}
        row: dict[str, Any] = {
            "examples": trainer.step * plan.recipe.batch,
            "minutes": round((spent + time.perf_counter() - started) / 60, 2),
            "loss": sum(losses) / len(losses) if losses else None,
            "held_out": found,
            "score": sum(own["both"] for own in found.values()) / len(found),
        }
        course.append(row)
        losses.clear()
        if best_state(course) == len(course) - 1:
            trainer.save(plan.out / BEST)
        write_text(plan.out / COURSE, "".join(json.dumps(r) + "\n" for r in course))
        trainer.save(plan.out / CHECKPOINT)
        for name, own in found.items():
            run.log_metrics(own, f"{name}/", step=row["examples"])
        run.log_metrics({"loss": row["loss"] or 0.0, "score": row["score"]}, step=row["examples"])

    if not course:
        judge()
    bar = tqdm(total=plan.recipe.examples, initial=done, desc="finetune", unit="example")
    for number, batch in enumerate(batches(shortlists, plan.recipe.batch, trainer.model.tokens)):
        if exhausted(course, plan.patience):
            break
        if number < trainer.step:
            continue
        losses.append(trainer.train(batch))
        bar.update(len(batch))
        bar.set_postfix(loss=f"{losses[-1]:.2f}")
        done, last = trainer.step * plan.recipe.batch, trainer.step == plan.recipe.steps
        due = done // plan.every > (done - len(batch)) // plan.every
        if due or last:
            judge()
    bar.close()
    return course


def _judged(model: Model, shortlists: Sequence[Shortlist]) -> dict[str, float]:
    forth = _beliefs(model, shortlists)
    back = _beliefs(model, [shortlist.reversed() for shortlist in shortlists])
    found = picks([shortlist.right for shortlist in shortlists], forth, back)
    return {"n": len(shortlists), **found.means()}


def _beliefs(model: Model, shortlists: Sequence[Shortlist]) -> list[Any]:
    found = []
    for start in range(0, len(shortlists), 8):
        found += model.beliefs(shortlists[start : start + 8])
    return found


def _export(
    trainer: Trainer,
    judged: dict[str, list[Shortlist]],
    identity: dict[str, Any],
    course: list[dict[str, Any]],
    plan: TrainingConfig,
    run_id: str,
) -> dict[str, Any]:
    model, path = trainer.model, plan.out / ADAPTER
    write_adapter(
        path,
        {name: tensor.numpy() for name, tensor in model.trained().items()},
        alpha=plan.recipe.alpha,
        heads=model.config.num_attention_heads,
        kv_heads=model.config.num_key_value_heads,
        name=f"{plan.base.stem} select agent",
    )
    probes = [own for shown in judged.values() for own in shown]
    probes = random.Random(plan.recipe.seed).sample(probes, min(_PROBES, len(probes)))
    manifest = {
        **identity,
        "sha256": sha256_file(path),
        "examples": trainer.step * plan.recipe.batch,
        "hours": round(course[-1]["minutes"] / 60, 2),
        "course": course,
        "probes": [
            {**shown.inputs(), "belief": [round(float(p), 4) for p in belief]}
            for shown, belief in zip(probes, _beliefs(model, probes), strict=True)
        ],
        "versions": {
            name: version(name) for name in ("torch", "transformers", "peft", "gguf", "dspy")
        },
        "mlflow_run_id": run_id,
    }
    write_text(plan.out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def install(out: Path, target: Path) -> None:
    """Copy an adapter and its manifest to where the package looks for them."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (ADAPTER, MANIFEST):
        shutil.copy2(out / name, target / name)


def _source(dataset: Dataset, knobs: KnobValues, embed: Embedder, seed: int) -> Retrieved:
    return Retrieved(dataset, [_split(dataset)], knobs, embed, samples=True, seed=seed)


def _split(dataset: Dataset) -> str:
    """Return which split is trained on."""
    return "train" if dataset.splits["train"] else "validation"


def _held_out(
    dataset: Dataset, knobs: KnobValues, embed: Embedder, plan: TrainingConfig
) -> list[Shortlist]:
    found = Retrieved(
        dataset, ["validation"], knobs, embed, limit=plan.held_out * 2, seed=plan.recipe.seed
    ).shortlists(plan.size)
    if not found:
        raise InputError(f"{dataset.path}: no validation request has its agent on the shortlist")
    return found[: plan.held_out]


def _left_out(whole: Sequence[Dataset], kept: Sequence[Dataset]) -> dict[str, int]:
    """Return how many requests and samples of each registry to train on had to stay unseen."""

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


def _check(train: Sequence[Dataset], kept_out: Sequence[Dataset]) -> None:
    both = {d.path.resolve() for d in train} & {d.path.resolve() for d in kept_out}
    if both:
        raise InputError(f"{min(both)}: a dataset is either trained on or held out")
    names = [dataset.path.name for dataset in (*train, *kept_out)]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: two datasets have this name; rename a folder")
    for dataset in kept_out:
        if not dataset.splits["validation"]:
            raise InputError(f"{dataset.path}: no validation requests; held-out datasets need them")
    for dataset in train:
        if not (dataset.splits["train"] or dataset.splits["validation"]):
            raise InputError(f"{dataset.path}: no train or validation requests to train on")


def _identity(
    train: Sequence[Dataset],
    kept_out: Sequence[Dataset],
    knobs: KnobValues,
    embed: Embedder,
    plan: TrainingConfig,
) -> dict[str, Any]:
    return {
        "base": plan.base.name,
        "base_sha256": sha256_file(plan.base),
        "recipe": asdict(plan.recipe),
        "train": {d.path.name: d.digests() for d in train},
        "kept_out": {d.path.name: d.digests() for d in kept_out},
        "knobs": asdict(knobs),
        "embedder": embed.id,
        "every": plan.every,
        "held_out": plan.held_out,
        "size": plan.size,
    }
