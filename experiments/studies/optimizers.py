"""Does any DSPy optimizer improve the embedded LM's prompt?

Shortlists of the shipped program, half of them reversed. Each optimizer gets the same budget of
calls, train requests and held-out train requests; its prompt is saved, loaded and asked about the
same validation requests as the prompt it started from. Some are asked before saving too: both must
answer alike. The LM is its own teacher; where that fails, the second LM
(``TASK_DELEGATOR_SECOND_LM``) teaches once more. Results are kept in ``runs/optimizers``.
InferRules' own candidates share one class within DSPy: its row may be of its last rules, not its
best.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import dspy
import numpy as np
from tqdm import tqdm

from experiments.support.costs import count_usage
from experiments.support.format import difference, markdown, points, rate
from experiments.support.llm_answers import SECOND
from optimize.data import OURS, load_dataset
from optimize.evaluation import metrics
from optimize.lm_stage import ResponseCache
from optimize.prompts import (
    OPTIMIZERS,
    OptimizerInputs,
    SelectSlot,
    examples,
    optimize,
    right_slot,
    slot_feedback,
)
from task_delegator.artifact import load
from task_delegator.delegation import Usage
from task_delegator.errors import LMError
from task_delegator.lm import language_model

_KEPT = Path("runs/optimizers")
_BUDGET, _HELD_OUT, _TRAIN, _ASKED, _AGAIN = 80, 8, 40, 30, 4


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per optimizer and one for the plain prompt; quick: one, 2 requests."""
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(empty) if quick else _KEPT
        folder.mkdir(parents=True, exist_ok=True)
        with ResponseCache(folder / "found.jsonl", 2 * len(OPTIMIZERS) + 1) as cache:
            return list(_rows(cache, quick))


def _rows(cache: ResponseCache, quick: bool) -> Iterator[dict[str, Any]]:
    dataset = load_dataset(OURS)
    program = load("default", dataset.registry)
    lm = language_model("embedded", threads=1)
    train = examples(program, dataset.splits["train"], seed=0)
    asked = examples(program, dataset.splits["validation"], seed=0)[: 2 if quick else _ASKED]
    inputs = OptimizerInputs(
        calls=_BUDGET,
        trainset=train[_HELD_OUT : _HELD_OUT + _TRAIN],
        valset=train[:_HELD_OUT],
        metric=right_slot,
        feedback=slot_feedback,
        teacher=lm,
        seed=0,
    )
    plain = program.classify.select
    question = {
        "budget": _BUDGET,
        "asked": len(asked),
        "lm": str(lm.model),
        "data": dataset.digests(),
        "knobs": program.knobs.values.model_dump(),
    }

    def load_or_make(name: str, teacher: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        row = cache.get(name, question | {"teacher": teacher}, make)
        assert row is not None, "the cache holds every optimizer"
        return row

    row = load_or_make("none", "", lambda: {"answer": _slots(plain, lm, asked, "plain")})
    first = row["answer"]
    yield _row("none", first, first, asked) | asdict(Usage())
    second = None if quick else os.environ.get(SECOND)
    for name in list(OPTIMIZERS)[: 1 if quick else None]:
        row = load_or_make(
            name, "itself", partial(_measure_optimizer, name, plain, lm, inputs, asked)
        )
        yield _row(name, row["answer"] or first, first, asked) | _describe_run("itself", row)
        if "failure" in row and second:
            teacher = Path(second).stem
            taught = replace(inputs, teacher=language_model(f"embedded:{second}"))
            row = load_or_make(
                name, teacher, partial(_measure_optimizer, name, plain, lm, taught, asked)
            )
            yield _row(name, row["answer"] or first, first, asked) | _describe_run(teacher, row)


def _measure_optimizer(
    name: str, plain: dspy.Predict, lm: Any, inputs: OptimizerInputs, asked: list[dspy.Example]
) -> dict[str, Any]:
    """Return what an optimizer made and took; ``answer`` is its prompt's slots, None if it failed.

    Calls are completions, as the budget counts them; of one that failed, answered requests.
    """
    made, failure = None, "the calls ran out, nothing kept"
    with count_usage() as cost:
        try:
            made = optimize(name, plain, lm, inputs)
        except LMError as error:
            failure = str(error)
    spent = asdict(cost.usage) | ({"lm_calls": made.calls} if made else {})
    if made is None or made.select is None:
        return {"answer": None, "failure": failure} | spent
    select: Any = made.select
    slots = _slots(_reload(select), lm, asked, name)
    as_made = _slots(select, lm, asked[:_AGAIN], f"{name}, as made")
    return {
        "answer": slots,
        "asked_again": len(as_made),
        "same_answers": sum(a == b for a, b in zip(as_made, slots, strict=False)),
        "demos": len(select.demos),
        "instruction_characters": len(select.signature.instructions),
    } | spent


def _reload(select: Any) -> dspy.Predict:
    """Return the predictor after saving and loading it."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "select.json")
        select.save(path)
        reloaded = dspy.Predict(select.signature)
        reloaded.load(path)
    return reloaded


def _slots(select: dspy.Predict, lm: Any, asked: list[dspy.Example], what: str) -> list[str | None]:
    """Return the slot that the LM picks for each request, None where it picks none."""
    student = SelectSlot(select)
    bar = tqdm(asked, desc=what, delay=3, leave=False)
    with dspy.context(lm=lm, disable_history=True):
        return [student(**example.inputs()).slot for example in bar]


def _grade_slots(slots: Sequence[str | None], asked: list[dspy.Example]) -> np.ndarray:
    return np.array([slot in e.acceptable for slot, e in zip(slots, asked, strict=True)])


def _describe_run(teacher: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"teacher": teacher} | {k: row[k] for k in row if k not in ("call", "stage", "answer")}


def _row(
    name: str,
    slots: Sequence[str | None],
    before: Sequence[str | None],
    asked: list[dspy.Example],
) -> dict[str, Any]:
    correct = _grade_slots(slots, asked)
    return {
        "optimizer": name,
        "split": "validation",
        "n": len(correct),
        "picked_right": float(correct.mean()),
        "picked_right_ci95": metrics.wilson(int(correct.sum()), len(correct)),
        "versus_plain": asdict(metrics.compare(correct, _grade_slots(before, asked))),
        "unreadable": sum(slot is None for slot in slots),
        "budget": _BUDGET,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return what each optimizer makes of the prompt, and its cost."""
    return markdown(
        rows,
        {
            "optimizer": lambda r: r["optimizer"],
            "teacher": lambda r: r.get("teacher", "-"),
            "n": lambda r: r["n"],
            "LM top-1 [95% CI]": lambda r: (
                "failed" if r.get("failure") else rate(r, "picked_right")
            ),
            "difference to the original prompt, points": lambda r: (
                "-" if r.get("failure") else difference(r["versus_plain"])
            ),
            "demos": lambda r: r.get("demos", "-"),
            "instruction characters": lambda r: r.get("instruction_characters", "-"),
            "same answers after loading": lambda r: (
                f"{r['same_answers']} of {r['asked_again']}" if "asked_again" in r else "-"
            ),
            "LM calls": lambda r: f"{r['lm_calls']} of {r['budget']}" if "lm_calls" in r else "-",
            "tokens, total": lambda r: r["tokens"],
            "s, total": lambda r: f"{r['seconds']:.0f}",
            "failure": lambda r: r.get("failure", "-"),
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the best optimizer and its gain."""
    best = best_optimizer(rows)
    gain, p = best["versus_plain"]["difference"], best["versus_plain"]["p"]
    verdict = "not significant" if p > 0.05 else "significant"
    tried = len({row["optimizer"] for row in rows}) - 1
    return f"Best of {tried}, {best['optimizer']}: {points(gain)} points, {verdict}"


def best_optimizer(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of the optimizer whose prompt is most accurate."""
    tried = [row for row in rows if row["optimizer"] != "none" and not row.get("failure")]
    return max(tried, key=lambda row: row["picked_right"])
