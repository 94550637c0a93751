"""How well are tasks for several agents decomposed, without and with the embedded LM?

Set precision, recall and F1 of the agents over the test tasks, the share of tasks for one agent
that are split by mistake, and the same without decomposition (paired). On Seal-Tools the program
is compiled for its 4,076 tools, which have no samples; the splitter was fitted on ours.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from experiments.support.format import estimate, markdown, percent
from experiments.support.public_data import load_public
from experiments.support.terms import term
from optimize.calibration import PlanReport, evaluate_plans
from optimize.config import Options
from optimize.data import OURS, Dataset, load_dataset
from optimize.evaluation import metrics, select
from optimize.pipeline import compile_program
from task_delegator.artifact import load
from task_delegator.delegator import Delegator
from task_delegator.lm import language_model

_TRIALS = 60
_SEAL = 80  # of seal_tools' 1,060 tasks: each takes up to 21 looks at 4,076 tools
_SEAL_SINGLE = 40
_LM_SINGLE = 30
_QUICK_SINGLE = 20


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per data set and way to split; quick looks at our validation without LM."""
    ours = load_dataset(OURS)
    program = load("default", ours.registry)
    if quick:
        return _rows(program, ours, "validation", _QUICK_SINGLE, lm=False)
    return [*_rows(program, ours, "test", None, lm=True), *_seal_tools(program)]


def _rows(
    program: Delegator, dataset: Dataset, split: str, most: int | None, lm: bool
) -> list[dict[str, Any]]:
    """Return rows of ours, over at most so many tasks for one agent."""
    several, single = dataset.multi[split], select(dataset.splits[split], most, seed=0)
    never = program.deepcopy()
    never.knobs.set({"split.threshold": None})
    whole = evaluate_plans(never, several, single[:1])
    lexical = evaluate_plans(program, several, single)
    rows = [
        _row("ours", split, "never split", whole, whole),
        _row("ours", split, "lexical", lexical, whole),
    ]
    if lm:
        asking = program.deepcopy()
        asking.knobs.set({"split.use_lm": True, "lm.gate": None})
        some = select(single, _LM_SINGLE, seed=0)
        with dspy.context(lm=language_model("embedded")):
            written = evaluate_plans(asking, several, some)
        rows.append(_row("ours", split, "embedded LM", written, whole))
    return rows


def _seal_tools(program: Delegator) -> list[dict[str, Any]]:
    dataset = load_public("seal_tools")
    with tempfile.TemporaryDirectory() as out:
        options = Options(out=Path(out) / "seal", preset="full", trials=_TRIALS)
        tools = compile_program(dataset, options, lm=None).program
    fitted = program.knobs.values.flat()
    tools.knobs.set({name: value for name, value in fitted.items() if name.startswith("split.")})
    several = select(dataset.multi["test"], _SEAL, seed=0)
    single = select(dataset.splits["test"], _SEAL_SINGLE, seed=0)
    never = tools.deepcopy()
    never.knobs.set({"split.threshold": None})
    whole = evaluate_plans(never, several, single[:1])
    lexical = evaluate_plans(tools, several, single)
    return [
        _row("seal_tools", "test", "never split", whole, whole),
        _row("seal_tools", "test", "lexical", lexical, whole),
    ]


def _row(data: str, split: str, way: str, report: PlanReport, whole: PlanReport) -> dict[str, Any]:
    gain = np.array(report.f1s) - np.array(whole.f1s)
    fields = {key: value for key, value in asdict(report).items() if key != "f1s"}
    if way == "never split":
        fields |= {"n_single": 0, "split_in_vain": 0.0, "split_in_vain_ci95": (0.0, 0.0)}
    return {
        "data": data,
        "split_of_data": split,
        "way": way,
        **fields,
        "f1_gain": float(gain.mean()),
        "f1_gain_ci95": metrics.bootstrap_mean(gain),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return how well tasks are decomposed."""
    return markdown(
        rows,
        {
            "data": lambda r: r["data"],
            "method": lambda r: term(r["way"]),
            "n": lambda r: r["n"],
            "precision": lambda r: f"{r['precision']:.2f}",
            "recall": lambda r: f"{r['recall']:.2f}",
            "F1 [95% CI]": lambda r: estimate(r["f1"], r["f1_ci95"], 2),
            "F1 gain over no decomposition": lambda r: estimate(r["f1_gain"], r["f1_gain_ci95"], 2),
            "complete@5": lambda r: percent(r["complete_at_5"]),
            "single tasks split by mistake": lambda r: (
                f"{percent(r['split_in_vain'])} of {r['n_single']}" if r["n_single"] else "-"
            ),
            "LM calls": lambda r: f"{r['lm_calls_per_task']:.1f}",
            "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
            "ms": lambda r: f"{r['milliseconds']:.0f}",
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the gain of either method on ours."""
    gain = {row["way"]: f"{row['f1_gain']:+.2f}" for row in rows if row["data"] == "ours"}
    return f"Lexical splitter {gain['lexical']} F1; the embedded LM {gain['embedded LM']}"
