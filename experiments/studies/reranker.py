"""Does a reranker that was fine-tuned to a registry find the right agent more often?

Without an LM. The reranker read the registry's own train requests and samples (``make
rerankers``), and so did the adapted encoder (``make encoders``), which is the cheaper way to use
them. With either encoder the knobs of retrieval are chosen on 400 validation requests, and on the
same ones what the reranker's scores weigh and which tasks it reads, by the rule of ``compile``. On
at most 1,000 test requests, drawn once, all are compared with the default pair by pair. Its lists
were ranked with the packaged encoder.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.support.format import difference, markdown, percent, rate
from experiments.support.public_data import load_public
from experiments.support.ranks import choose_knobs, rates_within
from optimize.data import OURS, Dataset, load_dataset
from optimize.evaluation import select
from optimize.evaluation.metrics import compare
from optimize.search import ScoredRequests, choose_rerank
from task_delegator.embedders import DEFAULT, MANIFEST, embedder, remembering
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.rerankers import Reranker, reranker
from task_delegator.retrieval import Index, Rerank, best_places, with_scores

RERANKERS, ENCODERS = Path("runs/rerankers"), Path("runs/encoders")
_SETS = ("hwu64",)
_CHOSEN_ON, _ASKED = 400, 1000  # requests of validation and of test at most
_TRIALS = 40
_PLACES = {"top1": 1, "top3": 3}


class _SharedWords:
    """Scores by the words that both share; stands for a reranker in a quick run."""

    id = "shared words"

    def score(self, task: str, texts: Sequence[str]) -> list[int]:
        """Return how many words of the task each text has."""
        return [len(set(task.lower().split()) & set(text.lower().split())) for text in texts]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per registry, encoder and reranker or none; quick: ours, shared words."""
    rows: list[dict[str, Any]] = []
    for name in ("ours",) if quick else _SETS:
        dataset = load_dataset(OURS, enriched=False) if quick else load_public(name)
        first: np.ndarray | None = None
        for encoder, spec in [("packaged", DEFAULT)] if quick else _encoders(name):
            used = _SharedWords() if quick else reranker(str(_made(RERANKERS / name)))
            for system, ranks, read in _measured(dataset, spec, used, quick):
                first = ranks if first is None else first
                versus = None if ranks is first else asdict(compare(ranks == 1, first == 1))
                said = {"data": name, "encoder": encoder, "system": system, "n": len(ranks)}
                rows.append(said | rates_within(ranks, _PLACES) | {"read": read, "versus": versus})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return accuracy by registry and system, and top-1 beside the default's."""
    return markdown(
        rows,
        {
            "data": lambda r: r["data"],
            "encoder": lambda r: r["encoder"],
            "system": lambda r: r["system"],
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3 [95% CI]": lambda r: rate(r, "top3"),
            "tasks read": lambda r: percent(r["read"]),
            "top-1 less the default's": lambda r: difference(r["versus"]) if r["versus"] else "-",
        },
    )


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return what the reranker, an adapted encoder and both add to the default, in points."""
    said: dict[str, list[str]] = {}
    for row in rows:
        gained = said.setdefault(row["data"], [])
        if row["versus"]:
            gained.append(f"{100 * row['versus']['difference']:+.1f}")
    return "Reranker, adapted encoder, both: " + "; ".join(
        f"{name} {', '.join(gained)}" for name, gained in said.items()
    )


def _encoders(name: str) -> list[tuple[str, str]]:
    return [("packaged", DEFAULT), ("adapted", f"encoder:{_made(ENCODERS / f'adapted-{name}')}")]


def _made(folder: Path) -> Path:
    """Return a folder of a model.

    Raises:
        InputError: it was not made.
    """
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: no such model; run make rerankers encoders")
    return folder


def _measured(
    dataset: Dataset, spec: str, used: Reranker, quick: bool
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield (system, place of the first right agent, share of the tasks read) without and with."""
    embed = embedder(spec)
    number = 40 if quick else _CHOSEN_ON
    asked = select(dataset.splits["validation" if quick else "test"], _ASKED, seed=0)
    with remembering(embed):
        index = Index(dataset.registry, embed)
        chosen_on = ScoredRequests(index, select(dataset.splits["validation"], number, seed=0))
        knobs = choose_knobs(chosen_on, _TRIALS)
        scored = ScoredRequests(index, asked)
        fused = scored.fused(knobs)
        yield "retrieval", scored.ranks(fused), 0.0
        rerank = Rerank(used)
        reading, _ = choose_rerank(chosen_on, rerank, knobs)
        yield "with the reranker", *_after_reading(scored, rerank, reading)


def _after_reading(
    scored: ScoredRequests, rerank: Rerank, knobs: KnobValues
) -> tuple[np.ndarray, float]:
    """Return the place of the first right agent, and the share of the tasks that are read."""
    own = knobs.retrieval
    logits = scored.fused(knobs) / own.temperature
    if own.rerank == 0:
        return scored.ranks(logits), 0.0
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    sure = (1 / shifted.sum(axis=1)) >= (np.inf if own.rerank_below is None else own.rerank_below)
    places = np.stack([best_places(row, own.reranked) for row in logits])
    scores = scored.reranked(rerank, places)
    read = [with_scores(*row, own.rerank) for row in zip(logits, places, scores, strict=True)]
    return scored.ranks(np.where(sure[:, None], logits, np.stack(read))), float((~sure).mean())
