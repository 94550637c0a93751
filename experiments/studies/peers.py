"""How do other libraries do on the same agents, requests and embedder?

Each peer runs in an environment of its own (``make peers``), at its best settings on the same
validation requests, and sees the same texts: what an agent says of itself and its samples. Ours
is compiled for each set, without an LM, and chosen on the same validation requests. A peer's
milliseconds hold the embedder's median for one request, where it needs vectors. What a peer
answered is kept in ``runs/peers``, so that a run of hours goes on where it was interrupted.
"""

import hashlib
import json
import os
import random
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, cast

import dspy
import numpy as np
from pydantic import BaseModel, ValidationError, create_model

from experiments.support.results import ROOT
from optimize import metrics
from optimize.compile import Options, compile_program
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluate import Outcome, delegate_all, outcomes_right, select
from task_delegator.agents import read_json, write_text
from task_delegator.delegation import total_tokens
from task_delegator.delegator import Delegator
from task_delegator.embed import Embedder
from task_delegator.errors import InputError
from task_delegator.index import description_text
from task_delegator.lm import language_model, words_alone

_TRIALS = 150
_NO_VECTORS = ("tfidf-logistic",)
_HERE = Path(__file__).parents[1] / "peer_env"
PYTHON = Path(os.environ.get("TASK_DELEGATOR_PEERS", ".venv-peers/bin/python"))
_PEERS = (
    "semantic-router", "toolpicker", "llama-index", "langgraph-bigtool",
    "tfidf-logistic", "minilm-logistic",
)  # fmt: skip
_REQUESTS, _STRANGERS = 5000, 300  # all test requests of every set
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
    sets = {"ours": load_dataset(OURS)}
    if not quick:
        sets |= {name: load_dataset(ROOT / name) for name in _SETS}
    return [row for name, dataset in sets.items() for row in _rows(name, dataset, quick)]


def _rows(name: str, dataset: Dataset, quick: bool) -> list[dict[str, Any]]:
    split = "validation" if quick else "test"
    requests = select(dataset.splits[split], 20 if quick else _REQUESTS, seed=0)
    away = dataset.out_of_scope[split]
    chosen = random.Random(0).sample(away, min(len(away), 10 if quick else _STRANGERS))
    fitting = {
        part: tuple(select(every, _FITTING, seed=0)) for part, every in dataset.splits.items()
    }
    with tempfile.TemporaryDirectory() as out:
        options = Options(out=Path(out) / "program", preset="full", trials=5 if quick else _TRIALS)
        smaller = replace(dataset, splits=fitting).without_plans()
        program = compile_program(smaller, options, lm=None).program
        with dspy.context(lm=None):
            outcomes = delegate_all(program, requests, name)
            strangers = [program(text) for text in chosen]
        folder = Path(out) / "job"
        keep = Path(out) if quick else _KEPT
        _write_job(folder, program, dataset, requests, chosen)
        facts = {"data": name, "split": split}
        embedding = _embedding_ms(program.retrieve.library.embed, requests)
        rows = [facts | _ours(outcomes, [s.evidence["fits"] for s in strangers])]
        for peer in _PEERS[-1:] if quick else _PEERS:
            if peer in _TOO_MANY_AGENTS.get(name, ()):
                continue
            answers = _run(peer, folder, keep)
            row: dict[str, Any] = facts | {"system": peer} | _theirs(answers, outcomes, requests)
            row["p50_ms"] += 0.0 if peer in _NO_VECTORS else embedding
            rows.append(row)
        if name == "ours" and not quick:
            rows.append(facts | _squad(_run("agent-squad", folder, keep), outcomes))
    return rows


def _write_job(
    folder: Path,
    program: Delegator,
    dataset: Dataset,
    requests: Sequence[Request],
    strangers: Sequence[str],
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
    asked = [*(request.text for request in requests), *strangers]
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


def _run(peer: str, folder: Path, keep: Path) -> dict[str, Any]:
    """Return what a peer answered to this job, before or now, and keep it."""
    parts = (*sorted(_HERE.glob("*.*")), folder / "job.json", folder / "vectors.npz")
    asked = hashlib.sha256(b"".join(file.read_bytes() for file in parts)).hexdigest()
    kept = keep / f"{peer}-{asked[:16]}.json"
    if not kept.is_file():
        write_text(kept, json.dumps(_asked(peer, folder)))
    return read_json(kept)


def _asked(peer: str, folder: Path) -> dict[str, Any]:
    """Ask a peer, in a process of its own environment."""
    command = [str(PYTHON), str(_HERE / "runner.py"), peer, str(folder)]
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


def _ours(outcomes: Sequence[Outcome], strangers: Sequence[float]) -> dict[str, Any]:
    right = outcomes_right(outcomes)
    fits = np.array([*(o.delegation.evidence["fits"] for o in outcomes), *strangers])
    spent = [o.delegation.usage.seconds * 1000 for o in outcomes]
    return {
        "system": "this program",
        **_scores(right, [o.rank is not None and o.rank <= 3 for o in outcomes]),
        "oos_auroc": metrics.auroc(fits, np.arange(len(fits)) < len(right)),
        "p50_ms": float(np.median(spent)),
        "tokens_per_task": 0,
    }


def _theirs(
    answers: Mapping[str, Any], outcomes: Sequence[Outcome], requests: Sequence[Request]
) -> dict[str, Any]:
    inside = answers["answers"][: len(requests)]
    pairs = list(zip(inside, requests, strict=True))
    right = np.array([a["names"][:1] != [] and a["names"][0] in r.acceptable for a, r in pairs])
    sure = np.array([a["confidence"] for a in answers["answers"]])
    return {
        **_scores(right, [any(n in r.acceptable for n in a["names"]) for a, r in pairs]),
        "versus": asdict(metrics.compare(outcomes_right(outcomes), right)),
        "oos_auroc": metrics.auroc(sure, np.arange(len(sure)) < len(right)) if sure.any() else None,
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
    lm = words_alone(language_model("embedded:raw", threads=1))
    right, spent, tokens = [], [], []
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
            right.append(said.selected_agent in outcome.request.acceptable)
        except ValidationError:
            right.append(False)
        tokens.append(total_tokens(tracker))
    good = np.array(right)
    return {
        "system": "agent-squad's prompt, raw embedded LM",
        **_scores(good, good.tolist()),
        "versus": asdict(metrics.compare(outcomes_right(some), good)),
        "oos_auroc": None,
        "p50_ms": float(np.median(spent)),
        "tokens_per_task": float(np.mean(tokens)),
        "version": answers["version"],
    }


def _scores(right: np.ndarray, third: Sequence[bool]) -> dict[str, Any]:
    return {
        "n": len(right),
        "top1": float(right.mean()),
        "top1_ci95": metrics.wilson(int(right.sum()), len(right)),
        "top3": float(np.mean(third)),
    }
