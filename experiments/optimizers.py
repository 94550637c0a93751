"""What does each DSPy optimiser make of the embedded LM's prompt, and at what cost?

The shipped program's shortlists, half of them turned round. Each optimiser has the same budget of
LM calls, train requests and held-out train requests; what it made is saved, loaded again and then
asked about validation requests, as is the prompt it started from. Some of them are asked before
saving, too: both must answer alike. The LM teaches itself.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import dspy
import numpy as np
from tqdm import tqdm

from optimize import metrics
from optimize.data import OURS, load_dataset
from optimize.examples import examples, right_slot, slot_feedback
from optimize.optimizers import OPTIMIZERS, optimize
from optimize.student import Brief, Pick
from task_delegator.artifact import load
from task_delegator.lm import language_model

_BUDGET, _HELD_OUT, _TRAIN, _ASKED, _AGAIN = 80, 8, 40, 30, 4


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per optimiser and one for the plain prompt; quick: one, 2 requests."""
    dataset = load_dataset(OURS)
    program = load("default", dataset.registry)
    lm = language_model("embedded", threads=1)
    train = examples(program, dataset.splits["train"], seed=0)
    asked = examples(program, dataset.splits["validation"], seed=0)[: 2 if quick else _ASKED]
    brief = Brief(
        calls=_BUDGET,
        trainset=train[_HELD_OUT : _HELD_OUT + _TRAIN],
        valset=train[:_HELD_OUT],
        metric=right_slot,
        feedback=slot_feedback,
        teacher=lm,
        seed=0,
    )
    plain = program.classify.select
    first = _slots(plain, lm, asked, "plain")
    before = _right(first, asked)
    rows = [_row("none", before, before, plain) | {"lm_calls": 0, "seconds": 0.0}]
    for name in list(OPTIMIZERS)[: 1 if quick else None]:
        started = perf_counter()
        made = optimize(name, plain, lm, brief)
        seconds = perf_counter() - started
        row = {"lm_calls": made.calls, "seconds": seconds}
        if made.select is None:
            rows.append(_row(name, before, before, plain) | row)
            continue
        slots = _slots(_reloaded(made.select), lm, asked, name)
        again = _slots(made.select, lm, asked[:_AGAIN], f"{name}, as made")
        row |= {"asked_again": len(again), "same_answers": int((again == slots[:_AGAIN]).sum())}
        rows.append(_row(name, _right(slots, asked), before, made.select) | row)
    return rows


def _reloaded(select: Any) -> dspy.Predict:
    """Return the predictor as it comes back from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "select.json")
        select.save(path)
        again = dspy.Predict(select.signature)
        again.load(path)
    return again


def _slots(select: dspy.Predict, lm: Any, asked: list[dspy.Example], what: str) -> np.ndarray:
    """Return the slot that each request is given, None where the answer holds none."""
    student = Pick(select)
    bar = tqdm(asked, desc=what, delay=3, leave=False)
    with dspy.context(lm=lm, disable_history=True):
        return np.array([student(**e.inputs()).slot for e in bar], dtype=object)


def _right(slots: np.ndarray, asked: list[dspy.Example]) -> np.ndarray:
    return np.array([slot in e.acceptable for slot, e in zip(slots, asked, strict=True)])


def _row(
    name: str,
    right: np.ndarray,
    before: np.ndarray,
    select: Any,
) -> dict[str, Any]:
    return {
        "optimizer": name,
        "split": "validation",
        "n": len(right),
        "picked_right": float(right.mean()),
        "picked_right_ci95": metrics.wilson(int(right.sum()), len(right)),
        "versus_plain": asdict(metrics.compare(right, before)),
        "demos": len(select.demos),
        "instruction_characters": len(select.signature.instructions),
        "budget": _BUDGET,
    }
