"""Does reading agents' instructions find the right one where no agent has samples?

639 agents and skills that others published, with descriptions and up to 2,000 characters of
instructions, without samples (github/awesome-copilot, ab7544d). A large language model wrote four
requests each for the first 107 of them; it saw names, descriptions and the first 260 characters
of the instructions, and named other agents that are right too. Everything was chosen on the
requests of the first 40 agents; those of the other 67 are the test. No LM.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.support.format import difference, markdown, percent, rate
from experiments.support.public_data import ROOT
from experiments.support.quick import shrink
from experiments.support.ranks import rates_within
from optimize.config import Options
from optimize.data import Dataset, Request
from optimize.evaluation import BM25_B, BM25_K1
from optimize.evaluation.metrics import compare
from optimize.pipeline import compile_program
from task_delegator import Delegator, Registry, load
from task_delegator.errors import InputError
from task_delegator.retrieval import Index

_VALIDATION_AGENTS = 40
_PLACES = {"top1": 1, "top3": 3, "recall12": 12, "recall19": 19}
_READING = (4, False)  # what the default program reads
_NONE = {"retrieval.passages": 0}
_TRIALS = 100
_SHORT, _ALL = "BM25, names and descriptions", "BM25, all texts"


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per system; quick: 3 trials, on 40 validation requests."""
    dataset = _cards()
    dataset = shrink(dataset) if quick else dataset
    chosen_on = dataset.splits["validation"]
    asked = chosen_on if quick else dataset.splits["test"]
    shipped = load("default", dataset.registry)
    index = shipped.retrieve.library.index({})
    ranks = {
        _SHORT: _best_bm25(index, chosen_on, asked),
        _ALL: _best_bm25(index.reading(_READING), chosen_on, asked),
    }
    uncompiled = Delegator(dataset.registry)
    for name, program in (("default program", shipped), ("uncompiled program", uncompiled)):
        ranks[f"{name}, instructions not read"] = _ranks(program, asked, _NONE)
        ranks[name] = _ranks(program, asked, {})
    with tempfile.TemporaryDirectory() as out:
        options = Options(out=Path(out) / "program", preset="full", trials=3 if quick else _TRIALS)
        compiled = compile_program(dataset, options, lm=None).program
    ranks["compiled on validation"] = _ranks(compiled, asked, {})
    return [
        {
            "system": name,
            "n": len(own),
            **rates_within(own, _PLACES),
            **{
                key: asdict(compare(own == 1, ranks[bm25] == 1))
                for key, bm25 in (("versus_short", _SHORT), ("versus_all", _ALL))
                if name not in (_SHORT, _ALL)
            },
        }
        for name, own in ranks.items()
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return accuracy and recall of every system, and top-1 beside BM25."""
    return markdown(
        rows,
        {
            "system": lambda r: r["system"],
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3 [95% CI]": lambda r: rate(r, "top3"),
            "recall@12 [95% CI]": lambda r: rate(r, "recall12"),
            "recall@19": lambda r: percent(r["recall19"]),
            "top-1 less BM25's, names and descriptions": lambda r: _less(r, "versus_short"),
            "top-1 less BM25's, all texts": lambda r: _less(r, "versus_all"),
        },
    )


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return top-1 of the default program before and after, and of BM25."""
    top1 = {row["system"]: percent(row["top1"]) for row in rows}
    before = top1["default program, instructions not read"]
    return f"{before} to {top1['default program']} top-1; BM25 over the same texts {top1[_ALL]}"


def _cards() -> Dataset:
    """Return the agents with their requests, the first agents' as train and as validation.

    Raises:
        InputError: the data are not there.
    """
    folder = ROOT / "cards" / "copilot"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data; set TASK_DELEGATOR_PUBLIC_DATA")
    registry = Registry.load(folder / "agents.json")
    lines = (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    agents = [json.loads(line) for line in lines]
    validation = _requests(agents[:_VALIDATION_AGENTS], registry)
    test = _requests(agents[_VALIDATION_AGENTS:], registry)
    nothing: dict[str, tuple[Any, ...]] = dict.fromkeys(("train", "validation", "test"), ())
    return Dataset(
        path=folder,
        registry=registry,
        splits={"train": validation, "validation": validation, "test": test},
        out_of_scope=nothing,
        multi=nothing,
        other_languages=nothing,
    )


def _requests(agents: Sequence[dict[str, Any]], registry: Registry) -> tuple[Request, ...]:
    return tuple(
        Request(text, (agent["agent"], *(name for name in agent["also"] if name in registry)))
        for agent in agents
        for text in agent["requests"]
    )


def _ranks(program: Delegator, requests: Sequence[Request], changes: dict[str, Any]) -> np.ndarray:
    """Return the place of the first right agent, beyond the shortlist one more; shape (n,)."""
    most = max(_PLACES.values())
    knobs = program.knobs.values.replaced({**changes, "retrieval.k": most})
    places = []
    for request in requests:
        found = program.retrieve(task=request.text, knobs=knobs).candidates
        right = [i for i, c in enumerate(found, 1) if c.name in request.acceptable]
        places.append(min(right, default=most + 1))
    return np.array(places)


def _best_bm25(index: Index, chosen_on: Sequence[Request], asked: Sequence[Request]) -> np.ndarray:
    """Return the ranks of BM25 at its best setting on validation, shape (n,)."""
    settings = [(k1, b) for k1 in BM25_K1 for b in BM25_B]
    best = max(settings, key=lambda s: (_bm25_ranks(index, chosen_on, *s) == 1).mean())
    return _bm25_ranks(index, asked, *best)


def _bm25_ranks(index: Index, requests: Sequence[Request], k1: float, b: float) -> np.ndarray:
    ranks = []
    for request in requests:
        order = np.argsort(-index.bm25(request.text, k1, b), kind="stable")
        names = [index.names[place] for place in order]
        ranks.append(1 + min(names.index(name) for name in request.acceptable))
    return np.array(ranks)


def _less(row: dict[str, Any], key: str) -> str:
    return difference(row[key]) if key in row else "-"
