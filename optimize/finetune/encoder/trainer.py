"""Training itself: sentence-transformers on a CPU, evaluations, early stopping, resuming.

Needs the extra ``finetune``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from optimize.finetune.checks import installed
from optimize.finetune.encoder.loss import ROW, ContrastiveLoss, TaughtLoss
from optimize.finetune.encoder.pairs import Pair
from optimize.finetune.encoder.recipe import EncoderRecipe
from optimize.finetune.encoder.teacher import Teacher
from optimize.finetune.encoder.upper_layers import UpperLayers
from optimize.finetune.encoder.validation import Questions
from optimize.finetune.resumable import InOrder, keeping_weights, last_checkpoint, tables
from task_delegator.system import read_json, write_text

with installed("finetune encoder", "encoder,finetune"):
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")
    library: Any = import_module("sentence_transformers")
    evaluation: Any = import_module("sentence_transformers.base.evaluation")
    arguments: Any = import_module("sentence_transformers.sentence_transformer.training_args")

_WARMUP = 0.1  # of the steps
_CLIP = 1.0  # norm of the gradient
_CURVE = "curve.json"
SCORE = "score"  # mean reciprocal rank, over the registries that are kept out

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class Tuned:
    """An encoder after training.

    Attributes:
        model: with the weights that are exported.
        curve: one row per evaluation: step, score, and figures per registry.
        steps: that were trained.
    """

    model: Any
    curve: tuple[dict[str, float], ...]
    steps: int


def tune(
    base: Path,
    batches: Sequence[Sequence[Pair]],
    kept_out: Sequence[Questions],
    recipe: EncoderRecipe,
    folder: Path,
    report: Report,
    *,
    teacher: Teacher | None = None,
    threads: int = 2,
) -> Tuned:
    """Train to the end, or until the registries that are kept out gain nothing more.

    A run that was stopped continues from its last evaluation, whose state is in ``folder``.

    Args:
        base: folder of the encoder to start from.
        batches: in the order of training.
        kept_out: what evaluations ask; none to train to the end.
        folder: of the checkpoints.
        report: is told each evaluation.
        teacher: what a larger encoder makes of the pairs of all batches, in order.
        threads: of the processor.
    """
    torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(recipe.seed)
    model = library.SentenceTransformer(modules=[UpperLayers(base, recipe.first)], device="cpu")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluator = _KeptOut(kept_out, recipe, before, folder / _CURVE, report)
    trainer = _trainer(model, batches, evaluator if kept_out else None, recipe, folder, teacher)
    last = last_checkpoint(folder)
    if kept_out and last is None:
        evaluator(model, steps=0)
    trainer.train(resume_from_checkpoint=last)
    model.load_state_dict(averaged(before, model.state_dict(), recipe.kept))
    return Tuned(model, tuple(evaluator.curve), trainer.state.global_step)


def averaged(before: Mapping[str, Any], after: Mapping[str, Any], kept: float) -> dict[str, Any]:
    """Return the base's weights moved by a share of what training changed."""
    return {
        name: tensor + kept * (after[name] - tensor) if tensor.is_floating_point() else tensor
        for name, tensor in before.items()
    }


def encode(model: Any, texts: Sequence[str]) -> np.ndarray:
    """Return unit vectors, float32, shape (texts, dim)."""
    return model.encode(list(texts), batch_size=32, show_progress_bar=False)


def _trainer(
    model: Any,
    batches: Sequence[Sequence[Pair]],
    evaluator: "_KeptOut | None",
    recipe: EncoderRecipe,
    folder: Path,
    teacher: Teacher | None,
) -> Any:
    pairs = [pair for batch in batches for pair in batch]
    table = tables.Dataset.from_dict(
        {
            "anchor": [p.anchor for p in pairs],
            "positive": [p.positive for p in pairs],
            ROW: list(range(len(pairs))),
        }
    )
    rhythm = "no" if evaluator is None else "steps"
    options = arguments.SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=len(batches),
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.rate,
        lr_scheduler_type="cosine",
        warmup_steps=_WARMUP,
        max_grad_norm=_CLIP,
        seed=recipe.seed,
        batch_sampler=lambda *_, **__: InOrder([len(batch) for batch in batches]),
        eval_strategy=rhythm,
        save_strategy="steps",
        eval_steps=recipe.every,
        save_steps=recipe.every,
        save_total_limit=2,
        logging_steps=recipe.every,
        load_best_model_at_end=evaluator is not None,
        metric_for_best_model=f"eval_{SCORE}",
        greater_is_better=True,
        dataloader_pin_memory=False,
        use_cpu=True,
        report_to="none",
    )
    loss = ContrastiveLoss(model, recipe.temperature)
    if teacher is not None:
        loss = TaughtLoss(model, recipe.temperature, teacher, recipe.taught)
    stop = [transformers.EarlyStoppingCallback(recipe.patience)] if evaluator else []
    # The trained weights alone: the others are the base's.
    return keeping_weights(library.SentenceTransformerTrainer)(
        model=model,
        args=options,
        train_dataset=table,
        loss=loss,
        evaluator=evaluator,
        callbacks=stop,
    )


class _KeptOut(evaluation.BaseEvaluator):
    """Evaluate the encoder as it would be exported: averaged with the base.

    Attributes:
        curve: what was found so far, one row per evaluation; 0 is the base.
    """

    def __init__(
        self,
        questions: Sequence[Questions],
        recipe: EncoderRecipe,
        before: Mapping[str, Any],
        path: Path,
        report: Report,
    ) -> None:
        super().__init__()
        self.primary_metric = SCORE
        self.curve: list[dict[str, float]] = read_json(path) if path.is_file() else []
        self._questions, self._recipe = questions, recipe
        self._before, self._path, self._report = before, path, report

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the score and each registry's figures."""
        after = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(averaged(self._before, after, self._recipe.kept))
        try:
            parts = {q.registry: q.rank(partial(encode, model)) for q in self._questions}
        finally:
            model.load_state_dict(after)
        scores = {f"{name}_{key}": v for name, part in parts.items() for key, v in part.items()}
        scores[SCORE] = sum(part["mrr"] for part in parts.values()) / len(parts)
        earlier = [row for row in self.curve if row["step"] < steps]
        self.curve = [*earlier, {"step": steps, **scores}]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._path, json.dumps(self.curve) + "\n")
        self._report(steps, scores)
        return scores
