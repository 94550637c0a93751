"""How well are tasks for several agents split, without an LM and with the embedded one?

Set precision, recall and F1 of the agents over the test tasks, how often tasks for one agent
are split in vain, and the same for never splitting (paired). On seal_tools the program is
compiled for its 4,076 tools, which have no samples; when to split was fitted on ours.
"""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from experiments.support.results import ROOT
from optimize import metrics
from optimize.compile import Options, compile_program
from optimize.data import OURS, Dataset, load_dataset
from optimize.evaluate import select
from optimize.plans import PlanReport, evaluate_plans
from task_delegator.artifact import load
from task_delegator.delegator import Delegator
from task_delegator.lm import language_model

_TRIALS = 60
_SEAL = 80  # of seal_tools' 1,060 tasks: each takes up to 21 looks at 4,076 tools
_SEAL_SINGLE = 40
_LM_SINGLE = 30


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per data set and way to split; quick looks at our validation without LM."""
    ours = load_dataset(OURS)
    program = load("default", ours.registry)
    rows = list(_rows(program, ours, "validation" if quick else "test", lm=not quick))
    if not quick:
        rows += _seal_tools(program)
    return rows


def _rows(program: Delegator, dataset: Dataset, split: str, lm: bool) -> list[dict[str, Any]]:
    several, single = dataset.multi[split], dataset.splits[split]
    never = program.deepcopy()
    never.knobs.set(split=1.01)
    whole = evaluate_plans(never, several, single[:1])
    lexical = evaluate_plans(program, several, single)
    rows = [
        _row("ours", split, "never split", whole, whole),
        _row("ours", split, "lexical", lexical, whole),
    ]
    if lm:
        asking = program.deepcopy()
        asking.knobs.set(split_lm=1, gate=0.0)
        some = select(single, _LM_SINGLE, seed=0)
        with dspy.context(lm=language_model("embedded")):
            written = evaluate_plans(asking, several, some)
        rows.append(_row("ours", split, "embedded LM", written, whole))
    return rows


def _seal_tools(program: Delegator) -> list[dict[str, Any]]:
    dataset = load_dataset(ROOT / "seal_tools")
    with tempfile.TemporaryDirectory() as out:
        options = Options(out=Path(out) / "seal", preset="full", trials=_TRIALS)
        tools = compile_program(dataset, options, lm=None).program
    fitted = program.knobs.values
    tools.knobs.values = replace(
        tools.knobs.values,
        **{name: getattr(fitted, name) for name in fitted.__slots__ if name.startswith("split")},
    )
    several = select(dataset.multi["test"], _SEAL, seed=0)
    single = select(dataset.splits["test"], _SEAL_SINGLE, seed=0)
    never = tools.deepcopy()
    never.knobs.set(split=1.01)
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
        "f1_gain_ci95": metrics.bootstrap(gain),
    }
