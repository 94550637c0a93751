"""Tables of single experiments, from their result files."""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.support.results import latest

# What a row's LM answers cost, as ``costs.per_task`` gives it.
COST: dict[str, Callable[[dict[str, Any]], Any]] = {
    "LM calls per task": lambda r: f"{r['lm_calls_per_task']:.2f}",
    "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
    "s": lambda r: f"{r['seconds_per_task']:.2f}",
}


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of an experiment's committed result, none where it was not run."""
    result = latest(name)
    return result["rows"] if result else []


def percent(rate: float) -> str:
    """Return a rate as text."""
    return f"{100 * rate:.1f} %"


def points(difference: float) -> str:
    """Return a difference of rates in points."""
    return f"{100 * difference:.1f}"


def span(interval: Any) -> str:
    """Return an interval of rates as text."""
    return f"{percent(interval[0])} to {percent(interval[1])}"


def share(row: dict[str, Any], name: str) -> str:
    """Return a rate of a row with its interval as text."""
    return f"{percent(row[name])} ({span(row[f'{name}_ci95'])})"


def span_points(interval: Any) -> str:
    """Return an interval of differences in points."""
    return f"{points(interval[0])} to {points(interval[1])}"


def difference(versus: dict[str, Any] | None) -> str:
    """Return a paired difference with interval, and p where there is one."""
    if versus is None:
        return "-"
    shown = f"{points(versus['difference'])} ({span_points(versus['ci95'])})"
    return f"{shown}, p = {versus['p']:.2g}" if "p" in versus else shown


def confidence_parts() -> str:
    """Return what calibration and each set of features add."""
    return table(
        [row for row in rows("ablation") if row["part"] == "confidence"],
        {
            "confidence from": lambda r: r["variant"],
            "n": lambda r: r["n"],
            "ECE (range of a calibrated model)": lambda r: (
                f"{r['ece']:.3f} ({r['ece_calibrated_range'][0]:.3f} to {r['ece_calibrated_range'][1]:.3f})"
            ),
            "Brier": lambda r: f"{r['brier']:.4f}",
            "AUROC of error": lambda r: f"{r['auroc_error']:.3f}",
            "AURC": lambda r: f"{r['aurc']:.4f}",
            "Brier gained (95 %)": lambda r: _gain(r["brier_gain"], r["brier_gain_ci95"], 4),
        },
    )


def scope_parts() -> str:
    """Return how well sets of signals tell what is out of scope."""
    return table(
        [row for row in rows("ablation") if row["part"] == "out of scope"],
        {
            "signals": lambda r: r["variant"],
            "n": lambda r: r["n"],
            "AUROC (95 %)": lambda r: _gain(r["auroc"], r["auroc_ci95"], 3),
        },
    )


def retrieval_parts() -> str:
    """Return what choices of channels do to the fusion."""
    return table(
        [row for row in rows("ablation") if row["part"] == "retrieval"],
        {
            "channels": lambda r: r["variant"],
            "n": lambda r: r["n"],
            "top-1 (95 %)": lambda r: share(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "top-1 against lean, points": lambda r: difference(r["versus_lean"]),
            "shortlist of 1 / 2 / 3 / 5 / 8 / 12 / 19 holds it": lambda r: " / ".join(
                f"{100 * share:.1f}" for share in r["recall_at"].values()
            ),
        },
    )


def enrichment() -> str:
    """Return what completing the agents adds, by writer."""
    return table(
        rows("enrichment"),
        {
            "agents": writer,
            "samples added": lambda r: r["samples_added"],
            "top-1": lambda r: percent(r["top1"]),
            "top-3": lambda r: percent(r["top3"]),
            "against as written, points": lambda r: difference(r["versus_as_it_is"]),
            "assigned": lambda r: percent(r["decisions"]["assign"] / r["n"]),
            "right of those": lambda r: percent(r["precision_assigned"] or 0.0),
            "AUROC of error": lambda r: f"{r['auroc_error']:.2f}",
            "out of scope: AUROC": lambda r: f"{r['oos_auroc']:.3f}",
        },
    )


def plans() -> str:
    """Return how well tasks for several agents are split."""
    return table(
        rows("plans"),
        {
            "data (test)": lambda r: r["data"],
            "split by": lambda r: r["way"],
            "n": lambda r: r["n"],
            "precision": lambda r: f"{r['precision']:.2f}",
            "recall": lambda r: f"{r['recall']:.2f}",
            "F1 (95 %)": lambda r: _gain(r["f1"], r["f1_ci95"], 2),
            "F1 over never (95 %)": lambda r: _gain(r["f1_gain"], r["f1_gain_ci95"], 2),
            "complete@5": lambda r: percent(r["complete_at_5"]),
            "single tasks split in vain": lambda r: (
                f"{percent(r['split_in_vain'])} of {r['n_single']}" if r["n_single"] else "-"
            ),
            "LM calls per task": lambda r: f"{r['lm_calls_per_task']:.1f}",
            "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
            "ms": lambda r: f"{r['milliseconds']:.0f}",
        },
    )


def asking() -> str:
    """Return what asking the embedded LM adds, by way of asking."""
    return table(
        [row for row in rows("asking") if "gained" in row],
        {
            "way": lambda r: r["way"],
            "n": lambda r: r["n"],
            "log-likelihood gained": lambda r: f"{r['gained']:.3f} ± {r['gained_error']:.3f}",
            "LM's pick right (95 %)": lambda r: share(r, "picked_right"),
            "against both orders, points": lambda r: difference(r.get("versus_both")),
            "retrieval right, before and after": lambda r: (
                f"{percent(r['retrieved_right_before'])}, {percent(r['retrieved_right_after'])}"
                if "versus_before" in r
                else "-"
            ),
            "paired, points": lambda r: difference(r.get("versus_before")),
            "flips": lambda r: percent(r["flips"]),
            "belief from": lambda r: ", ".join(r["sources"]),
            **COST,
        },
    )


def rubric() -> str:
    """Return what the LM's rating of the first place says of its errors."""
    return table(
        [row for row in rows("asking") if row["way"] == "rubric"],
        {
            "asked": lambda r: r["n"],
            "retrieval right": lambda r: percent(r["retrieved_right_before"]),
            "AUROC of error, margin": lambda r: f"{r['auroc_without']:.2f}",
            "with the rubric": lambda r: f"{r['auroc']:.2f}",
            "standard error of the difference": lambda r: f"{r['gained_error']:.2f}",
            "helps": lambda r: "yes" if r["helps"] else "no",
            **COST,
        },
    )


def gate() -> str:
    """Return accuracy against LM calls."""
    return table(
        [row for row in rows("asking") if row["way"] == "gate"],
        {
            "asked": lambda r: f"{r['asked']} of {r['n']}",
            "top-1 (95 %)": lambda r: share(r, "top1"),
            "weight of the LM's word": lambda r: f"{r['weight']:.2f}",
            **COST,
        },
    )


def attacks() -> str:
    """Return what attacks gain."""
    return table(
        rows("attacks"),
        {
            "path": lambda r: r["path"],
            "kind of attack": lambda r: r["kind"],
            "attacks x hosts": lambda r: r["cases"],
            "n": lambda r: r["n"],
            "host first: before": lambda r: percent(r["first_before"]),
            "after": lambda r: percent(r["first_after"]),
            "gained, points (95 %)": _gained,
            "assigned to it: before": lambda r: percent(r["assigned_before"]),
            "after ": lambda r: percent(r["assigned_after"]),
            **COST,
        },
    )


def _gained(row: dict[str, Any]) -> str:
    """Return what an attack gained; a bootstrap of none but zeros has no width to show."""
    if not row["gained"] and row["gained_ci95"] == [0.0, 0.0]:
        return f"none in {row['n']}"
    return _gain(100 * row["gained"], [100 * bound for bound in row["gained_ci95"]], 1)


def languages() -> str:
    """Return what happens to requests in other languages."""
    return table(
        rows("languages"),
        {
            "requests": lambda r: r["requests"],
            "n": lambda r: r["n"],
            "told to be foreign": lambda r: r["told"],
            "top-1": lambda r: percent(r["top1"]) if "top1" in r else "-",
            "mean confidence": lambda r: percent(r["confidence"]) if "confidence" in r else "-",
            "assign / review / none": lambda r: (
                " / ".join(str(r["decisions"][d]) for d in ("assign", "review", "none"))
                if "decisions" in r
                else "-"
            ),
        },
    )


def table(found: list[dict[str, Any]], columns: dict[str, Callable[[dict[str, Any]], Any]]) -> str:
    """Return rows as a markdown table; a column is a title and what it shows of a row."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(str(show(row)) for show in columns.values())} |" for row in found]
    return "\n".join(lines)


def writer(row: dict[str, Any]) -> str:
    """Return by whom the agents were completed."""
    name = row["writer"]
    return "as written" if name == "as it is" else f"completed by a {name}"


def _gain(value: float, interval: Sequence[float], digits: int) -> str:
    return f"{value:.{digits}f} ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"
