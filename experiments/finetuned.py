"""Is the fine-tuned embedded LM worth asking, on registries it was trained on and on others?

Each registry's program is compiled without an LM; the LM then sees its shortlist of five, in
retrieval's order and turned round. Given that the right agent is on it: how often is the LM's pick
right, and does turning change it? And over all requests: what does its word add to retrieval, at a
weight fitted on validation? *Transferred* means that neither agents nor requests of the registry
were trained on, *adapted* that its train split was. Beside the adapter that ships, those in
``runs/folds`` (``make folds``) are asked about the registries that they were kept from.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from experiments.public import public
from optimize import metrics
from optimize.compile import Options, compile_program
from optimize.data import OURS, Dataset, load_dataset
from optimize.evaluate import Outcome, delegate_all, outcomes_right, select
from optimize.gains import fit_weight, gain_curve, pooled
from optimize.teach import opened
from task_delegator.agents import read_json
from task_delegator.delegator import Delegator
from task_delegator.lm import language_model
from task_delegator.weights import ADAPTER, MANIFEST, SHIPPED

FOLDS = Path("runs/folds")
_SETS = ("banking77", "clinc150", "hwu64", "seal_tools")
_PLACES = 5
_FITTED, _TESTED, _RAW = 80, 150, 50  # requests: two calls each


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per registry and LM; quick: ours, the raw LM, 3 validation requests."""
    rows = []
    for name in ("ours", *(() if quick else _SETS)):
        dataset = load_dataset(OURS) if name == "ours" else public(name)
        with tempfile.TemporaryDirectory() as out:
            options = Options(out=Path(out) / "program", preset="full", trials=5 if quick else 60)
            program = compile_program(dataset, options, lm=None).program
        for label, seen, spec in _lms(dataset, quick):
            fitting = select(dataset.splits["validation"], 3 if quick else _FITTED, seed=0)
            tested = _RAW if seen == "raw" else _TESTED
            testing = fitting if quick else select(dataset.splits["test"], tested, seed=0)
            lm = language_model(spec, threads=1)
            weight = fit_weight([gain_curve(o) for o in _ask(program, fitting, lm, name)])
            row = _row(_ask(program, testing, lm, name), weight)
            split = "validation" if quick else "test"
            rows.append({"data": name, "lm": label, "seen": seen, "split": split} | row)
    return rows


def _lms(dataset: Dataset, quick: bool) -> Iterator[tuple[str, str, str]]:
    """Yield label, what was seen of the registry, and spec."""
    yield "raw", "raw", "embedded:raw"
    if quick:
        return
    for folder in (SHIPPED, *sorted(FOLDS.glob("*/"))):
        trained = dataset.path.name in read_json(folder / MANIFEST)["train"]
        if folder == SHIPPED or not trained:
            label = "ships" if folder == SHIPPED else folder.name
            yield label, "adapted" if trained else "transferred", f"embedded:{folder / ADAPTER}"


def _ask(program: Delegator, requests: Sequence[Any], lm: Any, what: str) -> list[Outcome]:
    student = opened(program, orders=2, lm=0.0, k=_PLACES, prior=0.0, repeats=1)
    with dspy.context(lm=lm):
        return delegate_all(student, requests, what)


def _row(outcomes: Sequence[Outcome], weight: float) -> dict[str, Any]:
    listed = [o for o in outcomes if set(_shown(o)) & set(o.request.acceptable)]
    first = _right(listed, [_shown(o)[0] for o in listed])
    picked = [o.delegation.evidence["lm"]["picked"] for o in listed]
    both = [o.delegation.evidence["lm"]["probabilities"] for o in listed]
    pick = _right(listed, [max(belief, key=lambda n, b=belief: b[n]) for belief in both])
    fused = _right(outcomes, [pooled(o, weight)[0].name for o in outcomes])
    usage = [o.delegation.usage for o in outcomes]
    calls = sum(own.lm_calls for own in usage)
    return {
        "n": len(outcomes),
        "listed": len(listed),
        "retrieval_first": float(first.mean()),
        **{
            name: float(_right(listed, [pair[place] for pair in picked]).mean())
            for place, name in enumerate(("in_order", "reversed"))
        },
        "both": float(pick.mean()),
        "both_ci95": metrics.wilson(int(pick.sum()), len(pick)),
        "both_versus_retrieval": asdict(metrics.compare(pick, first)),
        "flips": float(np.mean([len(set(pair)) > 1 for pair in picked])),
        "weight": weight,
        "retrieval_top1": float(outcomes_right(outcomes).mean()),
        "fused_top1": float(fused.mean()),
        "fused_ci95": metrics.wilson(int(fused.sum()), len(fused)),
        "fused_versus_retrieval": asdict(metrics.compare(fused, outcomes_right(outcomes))),
        "calls_per_task": calls / len(outcomes),
        "tokens_per_task": sum(own.tokens for own in usage) / len(outcomes),
        "ms_per_call": 1000 * sum(own.seconds for own in usage) / calls,
    }


def _shown(outcome: Outcome) -> list[str]:
    """Return the shortlist in the first order that the LM saw."""
    return list(outcome.delegation.evidence["lm"]["orders"][0])


def _right(outcomes: Sequence[Outcome], names: Sequence[str | None]) -> np.ndarray:
    return np.array([n in o.request.acceptable for n, o in zip(names, outcomes, strict=True)])
