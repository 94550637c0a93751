"""How do other libraries do on the same agents, requests and embeddings?

Each peer runs in its own environment (``make peers``), at its best settings on the same validation
requests, and reads the same texts: an agent's description and samples. Ours is compiled for each
set, without an LM, on the same validation requests. A peer's milliseconds include the embedder's
median for one request where it needs vectors. Answers of peers are kept in ``runs/peers``.
"""

import hashlib
import json
import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, cast

import dspy
import numpy as np
from pydantic import BaseModel, ValidationError, create_model

from experiments.support.format import difference, markdown, number, percent, points, rate
from experiments.support.public_data import load_public
from experiments.support.quick import shrink
from experiments.support.terms import term
from optimize.config import Options
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluation import Outcome, delegate_all, grade_outcomes, metrics, select
from optimize.pipeline import compile_program
from task_delegator.delegation import total_tokens
from task_delegator.delegator import Delegator
from task_delegator.embedders import Embedder
from task_delegator.errors import InputError
from task_delegator.lm import language_model, without_logprobs
from task_delegator.registry import description_text
from task_delegator.system import read_json, write_text

_TRIALS = 150
_NO_VECTORS = ("tfidf-logistic",)
_ENVIRONMENT = Path(__file__).parents[1] / "peer_env"
PYTHON = Path(os.environ.get("TASK_DELEGATOR_PEERS", ".venv-peers/bin/python"))
LIBRARIES = ("semantic-router", "toolpicker", "llama-index", "langgraph-bigtool")
_PEERS = (*LIBRARIES, "tfidf-logistic", "minilm-logistic")
_REQUESTS, _OUT_OF_SCOPE = 5000, 300  # all test requests of every set
_FITTING = 500  # validation requests that every system's settings are chosen on
_SETS = ("banking77", "clinc150", "hwu64", "seal_tools")
_TOO_MANY_AGENTS = {"seal_tools": ("tfidf-logistic",)}  # coefficients of a term for each of 4,076
_SQUAD = 20  # requests asked with agent-squad's prompt and the embedded LM
_SECONDS = 3600
_KEPT = Path("runs/peers")


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per data set and system; quick: ours and one peer, on validation.

    Raises:
        InputError: the peers' environment is not there, or a peer failed.
    """
    if not PYTHON.is_file():
        raise InputError(f"{PYTHON}: no environment of the peers; run make peers")
    ours = load_dataset(OURS)
    sets = {"ours": shrink(ours) if quick else ours}
    if not quick:
        sets |= {name: load_public(name) for name in _SETS}
    return [row for name, dataset in sets.items() for row in _rows(name, dataset, quick)]


def _rows(name: str, dataset: Dataset, quick: bool) -> list[dict[str, Any]]:
    split = "validation" if quick else "test"
    requests = select(dataset.splits[split], 20 if quick else _REQUESTS, seed=0)
    every = dataset.out_of_scope[split]
    outside = random.Random(0).sample(every, min(len(every), 10 if quick else _OUT_OF_SCOPE))
    fitting = {
        part: tuple(select(every, _FITTING, seed=0)) for part, every in dataset.splits.items()
    }
    with tempfile.TemporaryDirectory() as out:
        options = Options(out=Path(out) / "program", preset="full", trials=3 if quick else _TRIALS)
        smaller = replace(dataset, splits=fitting).without_plans()
        program = compile_program(smaller, options, lm=None).program
        with dspy.context(lm=None):
            outcomes = delegate_all(program, requests, name, one_by_one=True)
            out_of_scope = [program(text) for text in outside]
        folder = Path(out) / "job"
        keep = Path(out) if quick else _KEPT
        _write_job(folder, program, dataset, requests, outside)
        facts = {"data": name, "split": split}
        embedding = _embedding_ms(program.retrieve.library.embed, requests)
        rows = [facts | _score_program(outcomes, [s.evidence.in_scope_score for s in out_of_scope])]
        for peer in _PEERS[-1:] if quick else _PEERS:
            if peer in _TOO_MANY_AGENTS.get(name, ()):
                continue
            answers = load_or_run_peer(peer, folder, keep, run_peer)
            row: dict[str, Any] = (
                facts | {"system": peer} | _score_peer(answers, outcomes, requests)
            )
            row["p50_ms"] += 0.0 if peer in _NO_VECTORS else embedding
            rows.append(row)
        if name == "ours" and not quick:
            squad = load_or_run_peer("agent-squad", folder, keep, run_peer)
            rows.append(facts | _squad(squad, outcomes))
    return rows


def _write_job(
    folder: Path,
    program: Delegator,
    dataset: Dataset,
    requests: Sequence[Request],
    out_of_scope: Sequence[str],
) -> None:
    agents = [
        {
            "name": agent.name,
            "described": description_text(agent),
            "description": agent.description,
            "samples": agent.user_request_samples,
        }
        for agent in dataset.registry
    ]
    tuning = select(dataset.splits["validation"], _FITTING, seed=0)
    asked = [*(request.text for request in requests), *out_of_scope]
    texts = list(
        dict.fromkeys(
            [
                *asked,
                *(request.text for request in tuning),
                *(str(agent["described"]) for agent in agents),
                *(sample for agent in agents for sample in agent["samples"]),
            ]
        )
    )
    vectors = np.stack([e.vector for e in program.retrieve.library.embed.encode(texts)])
    folder.mkdir()
    np.savez(folder / "vectors.npz", vectors=vectors)
    job = {
        "agents": agents,
        "validation": [(request.text, request.acceptable) for request in tuning],
        "requests": asked,
        "texts": texts,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")


def load_or_run_peer(
    peer: str,
    folder: Path,
    keep: Path,
    ask: Callable[[str, Path], dict[str, Any]],
) -> dict[str, Any]:
    """Return what a peer answered to a job, before or now, and keep it.

    Args:
        peer: its name.
        folder: of the job.
        keep: folder of answers, each named by peer, job and the peers' own code.
        ask: answers the job where it was not answered before.
    """
    parts = (*sorted(_ENVIRONMENT.glob("*.*")), folder / "job.json", folder / "vectors.npz")
    asked = hashlib.sha256(b"".join(file.read_bytes() for file in parts)).hexdigest()
    kept = keep / f"{peer}-{asked[:16]}.json"
    if not kept.is_file():
        write_text(kept, json.dumps(ask(peer, folder)))
    return read_json(kept)


def run_peer(peer: str, folder: Path) -> dict[str, Any]:
    """Run a peer on a job, in a process of its own environment.

    Raises:
        InputError: it failed, or took too long.
    """
    command = [str(PYTHON), str(_ENVIRONMENT / "runner.py"), peer, str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{peer}: no answer within {_SECONDS} s") from error
    if done.returncode != 0:
        raise InputError(f"{peer}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads((folder / f"{peer}.json").read_text(encoding="utf-8"))


def _embedding_ms(embed: Embedder, requests: Sequence[Request]) -> float:
    """Return the median milliseconds of embedding one request."""
    spent = []
    for request in requests[:_SQUAD]:
        begun = perf_counter()
        embed.encode([request.text])
        spent.append((perf_counter() - begun) * 1000)
    return float(np.median(spent))


def _score_program(outcomes: Sequence[Outcome], out_of_scope: Sequence[float]) -> dict[str, Any]:
    correct = grade_outcomes(outcomes)
    fits = np.array([*(o.delegation.evidence.in_scope_score for o in outcomes), *out_of_scope])
    spent = [o.delegation.usage.seconds * 1000 for o in outcomes]
    return {
        "system": "this program",
        **_scores(correct, [o.rank is not None and o.rank <= 3 for o in outcomes]),
        "oos_auroc": metrics.auroc(fits, np.arange(len(fits)) < len(correct)),
        "p50_ms": float(np.median(spent)),
        "tokens_per_task": 0,
    }


def _score_peer(
    answers: Mapping[str, Any], outcomes: Sequence[Outcome], requests: Sequence[Request]
) -> dict[str, Any]:
    inside = answers["answers"][: len(requests)]
    pairs = list(zip(inside, requests, strict=True))
    correct = np.array([a["names"][:1] != [] and a["names"][0] in r.acceptable for a, r in pairs])
    sure = np.array([a["confidence"] for a in answers["answers"]])
    return {
        **_scores(correct, [any(n in r.acceptable for n in a["names"]) for a, r in pairs]),
        "versus": asdict(metrics.compare(grade_outcomes(outcomes), correct)),
        "oos_auroc": (
            metrics.auroc(sure, np.arange(len(sure)) < len(correct)) if sure.any() else None
        ),
        "p50_ms": answers["p50_ms"],
        "tuning_seconds": answers["tuning_seconds"],
        "tokens_per_task": 0,
        "settings": answers["settings"],
        "version": answers["version"],
    }


def _squad(answers: Mapping[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Ask the embedded LM with agent-squad's own prompt, its answer's names enforced.

    Without its adapter, which was trained for another prompt.
    """
    some = random.Random(0).sample(list(outcomes), min(len(outcomes), _SQUAD))
    names = tuple(answers["settings"]["agents"])
    shape: type[BaseModel] = create_model(
        "Analysis", selected_agent=(cast("Any", Literal)[(*names, "unknown")], ...),
        confidence=(float, ...),
    )  # fmt: skip
    lm = without_logprobs(language_model("embedded:raw", threads=1))
    correct, spent, tokens = [], [], []
    for outcome in some:
        messages = [
            {"role": "system", "content": answers["settings"]["prompt"]},
            {"role": "user", "content": outcome.request.text},
        ]
        begun = perf_counter()
        with dspy.track_usage() as tracker, dspy.context(disable_history=True):
            text = lm(messages=messages, response_format=shape)[0]
        spent.append((perf_counter() - begun) * 1000)
        try:
            said: Any = shape.model_validate_json(text)
            correct.append(said.selected_agent in outcome.request.acceptable)
        except ValidationError:
            correct.append(False)
        tokens.append(total_tokens(tracker))
    good = np.array(correct)
    return {
        "system": "agent-squad's prompt, raw embedded LM",
        **_scores(good, good.tolist()),
        "versus": asdict(metrics.compare(grade_outcomes(some), good)),
        "oos_auroc": None,
        "p50_ms": float(np.median(spent)),
        "tokens_per_task": float(np.mean(tokens)),
        "version": answers["version"],
    }


def _scores(correct: np.ndarray, third: Sequence[bool]) -> dict[str, Any]:
    return {
        "n": len(correct),
        "top1": float(correct.mean()),
        "top1_ci95": metrics.wilson(int(correct.sum()), len(correct)),
        "top3": float(np.mean(third)),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the program and its peers, by data set."""
    return markdown(
        rows,
        {
            "data": lambda r: r["data"],
            "system": lambda r: term(r["system"]),
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "this program minus peer, points": lambda r: difference(r.get("versus")),
            "out-of-scope AUROC": lambda r: number(r["oos_auroc"], 3),
            "median ms": lambda r: f"{r['p50_ms']:.1f}",
            "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the range of leads over the best library of each set."""
    leads = [best_library(rows, data)["versus"]["difference"] for data in data_sets(rows)]
    low, high = points(min(leads)), points(max(leads))
    return f"{low} to {high} points over the best router library of each set"


def data_sets(rows: list[dict[str, Any]]) -> list[str]:
    """Return the names of the sets, in order."""
    return list(dict.fromkeys(row["data"] for row in rows))


def best_library(rows: list[dict[str, Any]], data: str) -> dict[str, Any]:
    """Return the row of the most accurate router library on a data set."""
    own = [row for row in rows if row["data"] == data and row["system"] in LIBRARIES]
    return max(own, key=lambda row: row["top1"])
