"""What do other embedders bring and cost?

Without an LM, each embedder as it is published, and the one that ships (``minilm-tuned``); samples
as each registry has them, ours as written. For each embedder the knobs of retrieval are chosen in
the same way on at most 300 validation requests; on at most 500 test requests, drawn once, they are
compared pair by pair.
Milliseconds are processor time, of one request at a time, the embedders taking turns; minutes for
10,000 agents follow from a hundred descriptions of real tools and servers. Languages: translated
requests beside their English sources, the agents' texts in English, knobs chosen on English.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from experiments.support.distractors import draw_distractors, has_real_samples
from experiments.support.format import difference, markdown, percent, points, rate, sections
from experiments.support.public_data import load_public
from experiments.support.quick import shrink
from experiments.support.ranks import choose_knobs, rates_within
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluation import select
from optimize.evaluation.metrics import compare
from optimize.search import ScoredRequests
from task_delegator import embedders
from task_delegator.embedders import (
    DEFAULT,
    MODEL,
    RECIPES,
    VOCABULARY,
    embedder,
    packaged_minilm,
    remembering,
)
from task_delegator.knobs import KnobValues
from task_delegator.registry import description_text
from task_delegator.retrieval import Index
from task_delegator.system import cache_folder, read_json

_EMBEDDERS = ("minilm", DEFAULT, "mpnet", "e5")
_DEFAULT = _EMBEDDERS[0]  # that the others are compared with
SHIPPED = Path(embedders.__file__).parent / "tuned"
_SETS = ("ours", "banking77", "clinc150", "hwu64")
_CHOSEN_ON, _ASKED, _TRIALS = 300, 500, 40  # requests of validation and of test at most
_TIMED = 100  # requests, and descriptions
_GROUPS = {
    "German, Dutch, Swedish": ("de", "nl", "sv"),
    "French, Spanish, Italian, Portuguese": ("fr", "es", "it", "pt"),
    "Polish": ("pl",),
    "Japanese, Chinese": ("ja", "zh"),
}
_PLACES = {"top1": 1, "top3": 3}
# By embedder, the places of the right agents on test and on validation.
_Ranks = dict[str, tuple[np.ndarray, ...]]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return rows of accuracy, of languages and of costs; quick: ours, and no test request."""
    split = "validation" if quick else "test"
    datasets = {name: _load(name, quick) for name in (_SETS[:1] if quick else _SETS)}
    rows, held = [], dict[str, _Ranks]()
    for name, dataset in datasets.items():
        held[name] = {}
        for spec in _EMBEDDERS:
            index, knobs, chosen_on = _fitted(dataset, spec)
            asked = select(dataset.splits[split], _ASKED, seed=0)
            held[name][spec] = _ranks(index, knobs, asked), chosen_on
            if name == "ours":
                rows += _languages(index, knobs, spec, split)
    held["pooled"] = {
        spec: tuple(np.concatenate([own[spec][i] for own in held.values()]) for i in (0, 1))
        for spec in _EMBEDDERS
    }
    accuracy = [row for name, own in held.items() for row in _accuracy(name, own)]
    return accuracy + rows + _costs(datasets["ours"], 10 if quick else _TIMED)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return accuracy by data and embedder, what each costs, and other languages."""
    return sections(
        {
            "Accuracy": markdown(
                [row for row in rows if row["part"] == "accuracy"],
                {
                    "data": lambda r: r["data"],
                    "embedder": lambda r: r["embedder"],
                    "n": lambda r: r["n"],
                    "top-1 [95% CI]": lambda r: rate(r, "top1"),
                    "top-3 [95% CI]": lambda r: rate(r, "top3"),
                    "top-1 less minilm's": lambda r: difference(r["versus"]),
                    "top-1 on validation, n": lambda r: (
                        f"{percent(r['validation_top1'])}, {r['validation_n']}"
                    ),
                },
            ),
            "Cost": markdown(
                [row for row in rows if row["part"] == "cost"],
                {
                    "embedder": lambda r: r["embedder"],
                    "MB": lambda r: f"{r['mb']:.0f}",
                    "ms a request": lambda r: f"{r['ms']:.1f}",
                    "times minilm's": lambda r: f"{r['ratio']:.1f}",
                    "minutes for 10,000 agents": lambda r: f"{r['minutes']:.1f}",
                },
            ),
            "Languages": markdown(
                [row for row in rows if row["part"] == "languages"],
                {
                    "embedder": lambda r: r["embedder"],
                    "languages": lambda r: r["group"],
                    "n": lambda r: r["n"],
                    "top-1": lambda r: percent(r["top1"]),
                    "top-3": lambda r: percent(r["top3"]),
                    "the same in English": lambda r: (
                        f"{percent(r['english_top1'])}, {percent(r['english_top3'])}"
                    ),
                    "share of the English top-3": lambda r: percent(r["top3"] / r["english_top3"]),
                },
            ),
        }
    )


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return the pooled differences, the ratios of time, and what other languages keep."""
    cost = {row["embedder"]: row["ratio"] for row in rows if row["part"] == "cost"}
    pooled = [row for row in rows if row["part"] == "accuracy" and row["data"] == "pooled"]
    parts = [
        f"{row['embedder']} {points(row['versus']['difference'])}, time "
        f"{cost[row['embedder']]:.1f}-fold"
        for row in pooled
        if row["versus"]
    ]
    abroad = next(
        row
        for row in rows
        if row["part"] == "languages" and (row["embedder"], row["group"]) == ("e5", "all")
    )
    kept = percent(abroad["top3"] / abroad["english_top3"])
    return f"top-1: {'; '.join(parts)}; translations with e5 keep {kept}"


def _load(name: str, quick: bool) -> Dataset:
    dataset = load_dataset(OURS, enriched=False) if name == "ours" else load_public(name)
    return shrink(dataset) if quick else dataset


def _fitted(dataset: Dataset, spec: str) -> tuple[Index, KnobValues, np.ndarray]:
    """Return the index, the knobs chosen on validation, and the places there, shape (n,)."""
    embed = embedder(spec)
    with remembering(embed):
        index = Index(dataset.registry, embed)
        chosen_on = ScoredRequests(index, select(dataset.splits["validation"], _CHOSEN_ON, seed=0))
        knobs = choose_knobs(chosen_on, _TRIALS)
        return index, knobs, chosen_on.ranks(chosen_on.fused(knobs))


def _ranks(index: Index, knobs: KnobValues, asked: Sequence[Request]) -> np.ndarray:
    """Return the place of the first right agent, from 1, shape (n,)."""
    scored = ScoredRequests(index, asked)
    return scored.ranks(scored.fused(knobs))


def _accuracy(name: str, held: _Ranks) -> list[dict[str, Any]]:
    """Return a row per embedder of one data set."""
    rows = []
    for spec, (own, chosen_on) in held.items():
        versus = None if spec == _DEFAULT else compare(own == 1, held[_DEFAULT][0] == 1)
        row = {
            "part": "accuracy",
            "data": name,
            "embedder": spec,
            "n": len(own),
            **rates_within(own, _PLACES),
        }
        row |= {"validation_n": len(chosen_on), "validation_top1": float((chosen_on == 1).mean())}
        rows.append(row | {"versus": None if versus is None else asdict(versus)})
    return rows


def _languages(index: Index, knobs: KnobValues, spec: str, split: str) -> list[dict[str, Any]]:
    """Return a row per group of languages, and one of all."""
    read = [row for row in read_json(OURS / "languages.json") if row["split"] == split]
    ranks = {
        key: _ranks(index, knobs, [Request(r[key], (r["expected_agent_name"],)) for r in read])
        for key in ("user_request", "source")
    }
    codes = np.array([row["language"] for row in read])
    rows = []
    for group, spoken in (*_GROUPS.items(), ("all", tuple(set(codes)))):
        own = np.isin(codes, spoken)
        english = {
            f"english_{k}": v for k, v in rates_within(ranks["source"][own], _PLACES).items()
        }
        row = {"part": "languages", "embedder": spec, "group": group, "n": int(own.sum())}
        rows.append(row | rates_within(ranks["user_request"][own], _PLACES) | english)
    return rows


def _costs(dataset: Dataset, timed: int) -> list[dict[str, Any]]:
    """Return a row per embedder; all of them encode each text before the next one."""
    requests = [request.text for request in select(dataset.splits["train"], timed, seed=1)]
    tools = draw_distractors(dataset.registry, seed=0)
    described_alone = [agent for agent in tools if not has_real_samples(agent)]
    descriptions = [description_text(agent) for agent in described_alone[:timed]]
    ms = _processor_ms(requests)
    described = _processor_ms(descriptions)
    return [
        {
            "part": "cost",
            "embedder": spec,
            "mb": _megabytes(spec),
            "n": len(requests),
            "ms": float(np.median(ms[spec])),
            "ratio": float(np.median(ms[spec] / ms[_DEFAULT])),
            "minutes": float(described[spec].mean()) * 10_000 / 60_000,
        }
        for spec in _EMBEDDERS
    ]


def _processor_ms(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the processor time of all threads that each text takes, by embedder."""
    found: dict[str, list[float]] = {spec: [] for spec in _EMBEDDERS}
    for spec in _EMBEDDERS:
        embedder(spec).encode(["first of all"])
    for text in texts:
        for spec in _EMBEDDERS:
            started = process_time()
            embedder(spec).encode([text])
            found[spec].append(1000 * (process_time() - started))
    return {spec: np.array(each) for spec, each in found.items()}


def _megabytes(spec: str) -> float:
    """Return the size of the graph and the tokenizer."""
    if spec in RECIPES:
        files = [cache_folder() / name for name in RECIPES[spec].files]
    elif spec == DEFAULT:
        files = [SHIPPED / MODEL, SHIPPED / VOCABULARY]
    else:
        files = packaged_minilm()
    return sum(file.stat().st_size for file in files) / 1e6
