"""Does a fine-tuned encoder find the right agent more often than MiniLM as it is?

Without an LM; samples as each registry has them, ours as written. *minilm*: as it was published.
*minilm-tuned*: the one that ships; it was trained on small registries that a language model wrote,
and on no text of these six (eight of its 2,472 agents have the name of one of ours or of
clinc150). *Adapted*: the encoder saw the registry's own samples, train requests, descriptions and
instructions and nothing else (where ``make encoders`` made it). For every encoder the knobs of
retrieval are chosen in the same way on at most 400 validation requests; on at most 1,000 test
requests, drawn once, an encoder is compared with the one above it, pair by pair. *Without samples*
the agents have descriptions and instructions alone. Of the 639 agents of copilot 200 take part, all
those that requests ask for among them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.support.distractors import without_samples
from experiments.support.format import difference, markdown, percent, rate
from experiments.support.quick import shrink
from experiments.support.ranks import kept_ranks, rates_within, retrieval_ranks
from experiments.support.sets import SETS, load_set
from optimize.data import Dataset
from optimize.evaluation import select
from optimize.evaluation.metrics import compare
from task_delegator.embedders import DEFAULT, MANIFEST
from task_delegator.registry import Registry

ADAPTED = Path("runs/encoders")
_ASKED = 1000  # requests of test at most
_PLACES = {"top1": 1, "top3": 3}
_RECALL = 0.98  # of a shortlist for an LM
_PUBLISHED = "minilm"
_SAMPLES = {True: "with", False: "without"}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per registry and encoder; quick: ours, on 40 validation requests."""
    rows = []
    for name in ("ours",) if quick else SETS:
        dataset = load_set(name)
        dataset = shrink(dataset) if quick else dataset
        sampled = any(agent.user_request_samples for agent in dataset.registry)
        rows += _compared(name, dataset, quick, samples=sampled)
        if sampled:
            bare = replace(dataset, registry=Registry(without_samples(list(dataset.registry))))
            rows += _compared(name, bare, quick, samples=False)
    return rows


def _compared(name: str, dataset: Dataset, quick: bool, samples: bool) -> list[dict[str, Any]]:
    """Return a row per encoder, each beside the one before it."""
    asked = select(dataset.splits["validation" if quick else "test"], _ASKED, seed=0)
    measure = retrieval_ranks if quick else kept_ranks
    specs = _encoders(name) if samples else ((kind, kind) for kind in (_PUBLISHED, DEFAULT))
    ranks = {kind: measure(dataset, spec, asked) for kind, spec in specs}
    rows, before = [], None
    for kind, own in ranks.items():
        versus = None if before is None else compare(own == 1, before == 1)
        before = own
        row = {"data": name, "samples": samples, "encoder": kind, "n": len(own)}
        row |= rates_within(own, _PLACES) | {
            "places": int(np.quantile(own, _RECALL, method="higher"))
        }
        rows.append(row | {"versus": None if versus is None else asdict(versus)})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return accuracy by registry and encoder, and top-1 beside the encoder above."""
    return markdown(
        rows,
        {
            "data": lambda r: r["data"],
            "samples": lambda r: _SAMPLES[r["samples"]],
            "encoder": lambda r: r["encoder"],
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3 [95% CI]": lambda r: rate(r, "top3"),
            f"places for a recall of {percent(_RECALL)}": lambda r: str(r["places"]),
            "top-1 less that of the encoder above": lambda r: (
                difference(r["versus"]) if r["versus"] else "-"
            ),
        },
    )


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return on how many registries each kind is better, and worse, at 95 %."""
    parts = []
    for kind in dict.fromkeys(row["encoder"] for row in rows if row["versus"]):
        own = [row for row in rows if row["encoder"] == kind]
        named = {row["data"] for row in own if row["samples"]}
        # As each registry has them; of those that have samples, once more without.
        given = [row for row in own if row["samples"] or row["data"] not in named]
        bare = [row for row in own if row not in given]
        parts.append(
            f"{kind}: {_counted(given)}" + (f"; without samples {_counted(bare)}" if bare else "")
        )
    return "; ".join(parts)


def _counted(rows: Sequence[dict[str, Any]]) -> str:
    """Return how many rows are better than those above them, and how many worse."""
    clear = [r["versus"]["difference"] for r in rows if r["versus"]["p"] < 0.05]
    better, worse = sum(d > 0 for d in clear), sum(d < 0 for d in clear)
    return f"{better} of {len(rows)} better, {worse} worse"


def _encoders(name: str) -> Iterator[tuple[str, str]]:
    """Yield the encoders to compare on a registry, as (kind, spec): those that were made."""
    yield _PUBLISHED, _PUBLISHED
    yield DEFAULT, DEFAULT
    adapted = ADAPTED / f"adapted-{name}"
    if (adapted / MANIFEST).is_file():
        yield "adapted", f"encoder:{adapted}"
