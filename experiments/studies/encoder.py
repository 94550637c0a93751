"""Does a fine-tuned encoder find the right agent more often than MiniLM as it is?

Without an LM; samples as each registry has them, ours as written. *Transferred*: the encoder saw
nothing of the registry in training; its validation requests stopped the training. *Adapted*: the
encoder saw the registry's own samples, train requests, descriptions and instructions and nothing
else. Each of three folds leaves two registries out (``make encoders``). For every encoder the
knobs of retrieval are chosen in the same way on at most 400 validation requests; on at most
1,000 test requests, drawn once, the encoders are compared pair by pair. Of the 639 agents of
copilot 200 take part, all those that requests ask for among them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.support.format import difference, markdown, rate
from experiments.support.quick import shrink
from experiments.support.ranks import choose_knobs, rates_within
from experiments.support.sets import load_set
from optimize.checkpoint import digest_of, identity_of
from optimize.data import Dataset, Request
from optimize.evaluation import select
from optimize.evaluation.metrics import compare
from optimize.search import ScoredRequests
from task_delegator.embedders import MANIFEST, PACKAGED, embedder, remembering
from task_delegator.errors import InputError
from task_delegator.retrieval import Index
from task_delegator.system import read_json, write_text

FOLDS = Path("runs/encoders")
# The fold that leaves a registry out.
_FOLD = {
    "ours": "ours-seal_tools",
    "seal_tools": "ours-seal_tools",
    "banking77": "banking77-copilot",
    "copilot": "banking77-copilot",
    "clinc150": "clinc150-hwu64",
    "hwu64": "clinc150-hwu64",
}
_CHOSEN_ON, _ASKED = 400, 1000  # requests of validation and of test at most
_TRIALS = 40
_PLACES = {"top1": 1, "top3": 3}
_DEFAULT = "default"


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per registry and encoder; quick: ours, on 40 validation requests."""
    names = ("ours",) if quick else tuple(_FOLD)
    rows = []
    for name in names:
        dataset = load_set(name)
        dataset = shrink(dataset) if quick else dataset
        asked = select(dataset.splits["validation" if quick else "test"], _ASKED, seed=0)
        measure = _ranks if quick else _kept_ranks
        ranks = {kind: measure(dataset, spec, asked) for kind, spec in _encoders(name)}
        for kind, own in ranks.items():
            versus = None if kind == _DEFAULT else compare(own == 1, ranks[_DEFAULT] == 1)
            row = {"data": name, "encoder": kind, "n": len(own), **rates_within(own, _PLACES)}
            rows.append(row | {"versus": None if versus is None else asdict(versus)})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return accuracy by registry and encoder, and top-1 beside the default's."""
    return markdown(
        rows,
        {
            "data": lambda r: r["data"],
            "encoder": lambda r: r["encoder"],
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3 [95% CI]": lambda r: rate(r, "top3"),
            "top-1 less the default's": lambda r: difference(r["versus"]) if r["versus"] else "-",
        },
    )


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return on how many registries each kind is better, and worse, at 95 %."""
    parts = []
    for kind in dict.fromkeys(row["encoder"] for row in rows if row["versus"]):
        found = [row["versus"] for row in rows if row["encoder"] == kind]
        clear = [versus["difference"] for versus in found if versus["p"] < 0.05]
        better, worse = sum(d > 0 for d in clear), sum(d < 0 for d in clear)
        parts.append(f"{kind}: {better} of {len(found)} better, {worse} worse")
    return "; ".join(parts)


def _encoders(name: str) -> Iterator[tuple[str, str]]:
    """Yield the encoders to compare on a registry, as (kind, spec): those that were made.

    Raises:
        InputError: the fold that leaves the registry out was not made.
    """
    yield _DEFAULT, PACKAGED
    fold, adapted = FOLDS / _FOLD[name], FOLDS / f"adapted-{name}"
    if not (fold / MANIFEST).is_file():
        raise InputError(f"{fold}: no such encoder; run make encoders")
    yield "transferred", f"encoder:{fold}"
    if (adapted / MANIFEST).is_file():
        yield "adapted", f"encoder:{adapted}"


def _kept_ranks(dataset: Dataset, spec: str, asked: Sequence[Request]) -> np.ndarray:
    """Return what ``_ranks`` does, from an earlier run of the same code on the same files.

    A registry takes minutes, and a study that is stopped is not to ask its test again.
    """
    settings = {"embedder": embedder(spec).id, "sizes": (_CHOSEN_ON, _ASKED, _TRIALS)}
    path = FOLDS / "ranks" / f"{digest_of(identity_of(dataset, **settings))}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(_ranks(dataset, spec, asked).tolist()) + "\n")
    return np.array(read_json(path))


def _ranks(dataset: Dataset, spec: str, asked: Sequence[Request]) -> np.ndarray:
    """Return the place of the first right agent, shape (n,), with knobs chosen on validation."""
    embed = embedder(spec)
    with remembering(embed):
        index = Index(dataset.registry, embed)
        chosen_on = ScoredRequests(index, select(dataset.splits["validation"], _CHOSEN_ON, seed=0))
        knobs = choose_knobs(chosen_on, _TRIALS)
        scored = ScoredRequests(index, asked)
        return scored.ranks(scored.fused(knobs))
