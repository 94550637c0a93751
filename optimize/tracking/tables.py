"""Tables and metrics of MLflow runs: trials, Pareto front, confused pairs, reports."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optimize.evaluation import Outcome, Report
from optimize.joint import JointTrial
from optimize.search import Trial

_MOST_CONFUSED = 25
_DIGITS = 4  # after the point
_OF_P = 2  # digits of a p-value
_PAIRS = {"oos_90": ("correct", "accepted")}  # two statistics, and no interval
# What tells two compilations apart, few enough for one screen; every number is in a table. With
# the open gate the requests are those of test_lm.
HEADLINES = {
    "validation": ("top1", "top3"),
    "test": (
        *("n", "top1", "top1_low", "top1_high", "top3", "ece", "assigned"),
        *("precision_assigned", "oos_auroc", "latency_ms_p50"),
    ),
    "test_lm": ("n", "top1", "lm_calls_per_task", "tokens_per_task"),
    "test_lm_gate_open": ("top1", "tokens_per_task"),
}


def headline(report: Report, names: Sequence[str]) -> dict[str, float]:
    """Return the named numbers of a report, those that it has."""
    low, high = report.top1_ci95
    numbers = report.metrics() | {"top1_low": low, "top1_high": high}
    return shortened({name: numbers[name] for name in names if name in numbers})


def shortened(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics with as many digits as MLflow's lists have room for; they cut the rest.

    Of a p-value the first digits that are not 0 are kept.
    """
    return {
        name: float(f"{value:.{_OF_P}g}") if name.endswith("_p") else round(value, _DIGITS)
        for name, value in metrics.items()
    }


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of nested values by name; the two of an interval as low and high."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{name}_")
        elif isinstance(value, tuple | list) and len(value) == 2:
            ends = _PAIRS.get(name, ("low", "high"))
            found |= {f"{prefix}{name}_{end}": float(v) for end, v in zip(ends, value, strict=True)}
        elif isinstance(value, int | float) and name != "seed":
            found[prefix + name] = float(value)
    return found


def reports_table(reports: Mapping[str, Report]) -> pd.DataFrame:
    """Return every number of reports, with intervals and comparisons, a row each."""
    rows = [
        {"report": name, **flattened(report.to_dict()), **report.metrics()}
        for name, report in reports.items()
    ]
    return pd.DataFrame(rows)


def trials_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return the trials of a search: number, scores on validation, knobs that differ."""
    rows = [{"trial": t.number, **t.metrics(), **t.knobs.flat()} for t in trials]
    return _varied(pd.DataFrame(rows))


def joint_table(points: Sequence[JointTrial]) -> pd.DataFrame:
    """Return the trials of a joint search: number, scores, prompt, demos, knobs that differ."""
    rows = [
        {
            "trial": p.number,
            "top1": p.top1,
            "tokens_per_task": p.tokens,
            "prompt": p.prompt,
            "demos": p.demos,
            **p.knobs.flat(),
        }
        for p in points
    ]
    return _varied(pd.DataFrame(rows))


def pareto_table(front: Sequence[JointTrial]) -> pd.DataFrame:
    """Return the Pareto front as a table, cheapest first."""
    rows = [(p.number, p.top1, p.tokens, p.prompt, p.demos, p.knobs.lm.gate) for p in front]
    columns = ["trial", "top1", "tokens_per_task", "prompt", "demos", "gate"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def confused_pairs(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return the pairs (expected, given) that were confused most, with counts."""
    wrong = Counter(
        (outcome.request.expected, outcome.ranking[0])
        for outcome in outcomes
        if not outcome.correct and outcome.ranking
    )
    rows = [(*pair, count) for pair, count in wrong.most_common(_MOST_CONFUSED)]
    return pd.DataFrame(rows, columns=pd.Index(["expected", "given", "times"]))


def _varied(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the knobs that all trials share; their names have a dot."""
    columns = {str(name): list(map(str, table[name])) for name in table.columns}
    same = [name for name, values in columns.items() if "." in name and len(set(values)) == 1]
    return table.drop(columns=same)
