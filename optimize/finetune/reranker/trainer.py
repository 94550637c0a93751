"""Training itself: sentence-transformers on a CPU, evaluations, early stopping, resuming.

Its trainer of cross-encoders takes lists of texts, and its modules are those of the exported
graph: BERT, a mean over the tokens, a linear layer. Of its losses none adds what is known already
to the scores, so the loss is our own: a list-wise softmax (ListNet; Cao et al., 2007) over
retrieval's logits and the scores together, which makes a score what retrieval lacks. A second term
asks of each agent by itself whether it fits, so that a score says something where none does.

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
from optimize.finetune.reranker.lists import Candidates
from optimize.finetune.reranker.recipe import RerankerRecipe
from optimize.finetune.reranker.validation import rank
from optimize.finetune.resumable import InOrder, keeping_weights, last_checkpoint, tables
from task_delegator.system import read_json, write_text

with installed("finetune reranker", "encoder,finetune"):
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")
    library: Any = import_module("sentence_transformers")
    modules: Any = import_module("sentence_transformers.base.modules")
    pooling: Any = import_module("sentence_transformers.sentence_transformer.modules")
    evaluation: Any = import_module("sentence_transformers.base.evaluation")
    arguments: Any = import_module("sentence_transformers.cross_encoder.training_args")
    functional: Any = import_module("torch.nn.functional")

_WARMUP = 0.1  # of the steps
_CLIP = 1.0  # norm of the gradient
_DECAY = 0.01  # of weights, in AdamW
_ALONE = 0.2  # weight of the loss of each agent by itself
_TOGETHER = 64  # pairs that are scored at once
_CURVE = "curve.json"
SCORE = "score"  # mean reciprocal rank, over the registries that are kept out

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class TunedReranker:
    """A reranker after training.

    Attributes:
        weights: of ``BertModel`` by name, float32.
        head: of the last layer, shape (dimensions,), and its bias.
        score: the trained model's scores of pairs.
        curve: one row per evaluation: step, score, and figures per registry.
        steps: that were trained.
    """

    weights: Mapping[str, np.ndarray]
    head: tuple[np.ndarray, float]
    score: Callable[[Sequence[tuple[str, str]]], np.ndarray]
    curve: tuple[dict[str, float], ...]
    steps: int


def tune(
    base: Path,
    lists: Sequence[Candidates],
    kept_out: Mapping[str, Sequence[Candidates]],
    recipe: RerankerRecipe,
    folder: Path,
    report: Report,
    threads: int = 2,
) -> TunedReranker:
    """Train to the end, or until the registries that are kept out gain nothing more.

    A run that was stopped continues from its last evaluation, whose state is in ``folder``.

    Args:
        base: folder of the encoder to start from.
        lists: in the order of training, a batch after the other.
        kept_out: what evaluations ask, by registry; none to train to the end.
        folder: of the checkpoints.
        report: is told each evaluation.
        threads: compute threads.
    """
    torch.set_num_threads(threads)
    transformers.set_seed(recipe.seed)
    model = cross_encoder(base, recipe)
    evaluator = _KeptOut(kept_out, folder / _CURVE, report)
    trainer = _trainer(model, lists, evaluator if kept_out else None, recipe, folder)
    last = last_checkpoint(folder)
    if kept_out and last is None:
        evaluator(model, steps=0)
    trainer.train(resume_from_checkpoint=last)
    model.eval()
    state = model[0].model.state_dict()
    weights = {name: tensor.float().numpy() for name, tensor in state.items()}
    linear = model[2].linear
    head = (linear.weight[0].detach().numpy(), float(linear.bias.detach()[0]))
    return TunedReranker(
        weights, head, partial(score, model), tuple(evaluator.curve), trainer.state.global_step
    )


def cross_encoder(base: Path, recipe: RerankerRecipe) -> Any:
    """Return the base with a last layer that scores 0, and the layers frozen that stay."""
    transformers.utils.logging.disable_progress_bar()
    bert = modules.Transformer(str(base), max_seq_length=recipe.most_tokens)
    head = modules.Dense(
        bert.get_embedding_dimension(),
        1,
        activation_function=None,
        module_output_name="scores",
    )
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    for part in (bert.model.embeddings, *bert.model.encoder.layer[: recipe.first]):
        part.requires_grad_(False)
    mean = pooling.Pooling(bert.get_embedding_dimension(), "mean")
    model = library.CrossEncoder(modules=[bert, mean, head], device="cpu")
    model.activation_fn = torch.nn.Identity()
    return model


def score(model: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return the scores of pairs of task and agent, float32, shape (pairs,)."""
    found = model.predict(list(pairs), batch_size=_TOGETHER, show_progress_bar=False)
    return np.asarray(found, dtype=np.float32)


def has_bf16() -> bool:
    """Tell whether the processor multiplies in bfloat16: training is then twice as fast."""
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def _trainer(
    model: Any,
    lists: Sequence[Candidates],
    evaluator: "_KeptOut | None",
    recipe: RerankerRecipe,
    folder: Path,
) -> Any:
    table = tables.Dataset.from_dict(
        {
            "request": [own.task for own in lists],  # "task" has a meaning of its own
            "texts": [list(own.texts) for own in lists],
            "label": [_label(own) for own in lists],
        }
    )
    options = arguments.CrossEncoderTrainingArguments(
        output_dir=str(folder),
        max_steps=len(lists) // recipe.batch,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.rate,
        learning_rate_mapping={"linear": recipe.head_rate},  # BERT has none of this name
        lr_scheduler_type="linear",
        warmup_steps=_WARMUP,
        weight_decay=_DECAY,
        max_grad_norm=_CLIP,
        bf16=has_bf16(),
        seed=recipe.seed,
        batch_sampler=lambda *_, **__: InOrder([recipe.batch] * (len(lists) // recipe.batch)),
        eval_strategy="no" if evaluator is None else "steps",
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
    stop = [transformers.EarlyStoppingCallback(recipe.patience)] if evaluator else []
    return keeping_weights(library.CrossEncoderTrainer)(
        model=model,
        args=options,
        train_dataset=table,
        loss=_BesideRetrieval(model),
        evaluator=evaluator,
        callbacks=stop,
    )


def _label(own: Candidates) -> list[float]:
    """Return retrieval's logits, then 1 for each acceptable candidate and 0 for the others."""
    return [*own.logits, *(float(place in own.acceptable) for place in range(len(own.texts)))]


class _BesideRetrieval(torch.nn.Module):
    """Cross-entropy of the softmax over retrieval's logits and the scores, added.

    Every acceptable candidate's probability counts.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Sequence[Any], labels: Sequence[Any], **_: Any) -> Any:
        """Return the mean over the requests of a batch.

        Args:
            inputs: the tasks, and of each the texts of its candidates.
            labels: as ``_label`` gives them.
        """
        tasks, texts = inputs
        pairs = [(task, text) for task, own in zip(tasks, texts, strict=True) for text in own]
        scores = self.model(self.model.preprocess(pairs))["scores"].view(-1).float()
        losses = [
            loss_of_one(own, *label.float().chunk(2))
            for own, label in zip(scores.split([len(own) for own in texts]), labels, strict=True)
        ]
        return torch.stack(losses).mean()


def loss_of_one(scores: Any, logits: Any, right: Any) -> Any:
    """Return the loss of one request, a scalar.

    Args:
        scores, logits, right: of its candidates, shape (candidates,); 1 is right, 0 is wrong.
    """
    alone = functional.binary_cross_entropy_with_logits(scores, right)
    if not right.any():
        return _ALONE * alone
    together = functional.log_softmax(logits + scores, dim=0)
    return _ALONE * alone - torch.logsumexp(together[right > 0], dim=0)


class _KeptOut(evaluation.BaseEvaluator):
    """Evaluate the reranker beside retrieval, as a program uses it.

    Attributes:
        curve: what was found so far, one row per evaluation; 0 is retrieval alone.
    """

    def __init__(
        self, asked: Mapping[str, Sequence[Candidates]], path: Path, report: Report
    ) -> None:
        super().__init__()
        self.primary_metric = SCORE
        self.curve: list[dict[str, float]] = read_json(path) if path.is_file() else []
        self._asked, self._path, self._report = asked, path, report

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the score and each registry's figures."""
        parts = {name: rank(own, partial(score, model)) for name, own in self._asked.items()}
        scores = {f"{name}_{key}": v for name, part in parts.items() for key, v in part.items()}
        scores[SCORE] = sum(part["mrr"] for part in parts.values()) / len(parts)
        earlier = [row for row in self.curve if row["step"] < steps]
        self.curve = [*earlier, {"step": steps, **scores}]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._path, json.dumps(self.curve) + "\n")
        self._report(steps, scores)
        return scores
