"""Draw the plots from the result files: ``python -m experiments.report --plots``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from experiments.report.exhibits import worth
from experiments.support.results import rows
from experiments.support.terms import term
from task_delegator.artifact import find, read_manifest

mpl.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path("experiments/plots")
_INTERLOOM = {10: 0.89, 70: 0.74}  # its document's curve, read at its ends
_DPI = 110
_SCALED = ("BM25", "compiled", "compiled, weights fitted again")
_ASKED = {
    "top1": "top-1, n {n}",
    "precision_all_assigned": "precision of all assigned",
    "turned_away": "out of scope turned away, n {n_out_of_scope}",
}
_GROWN = {
    "top1": "top-1",
    "recall_at_k": "recall@k of the shortlist",
}


def scaling() -> Any:
    """Accuracy and recall against the number of agents, in every condition."""
    conditions = list(dict.fromkeys(row["condition"] for row in rows("scaling")))
    figure, axes = plt.subplots(
        len(_GROWN), len(conditions), figsize=(5.5 * len(conditions), 9), sharex=True, sharey=True
    )
    for row, label in zip(axes, _GROWN.values(), strict=True):
        row[0].set_ylabel(label)
    for column, condition in zip(axes.T, conditions, strict=True):
        for ax, key in zip(column, _GROWN, strict=True):
            _grown(ax, condition, key)
            ax.set_xscale("log")
        column[0].set(title=term(condition), ylim=(0, 1))
        column[0].plot(*zip(*_INTERLOOM.items(), strict=True), "x-", color="gray", linewidth=1)
        column[0].legend(loc="lower left", fontsize=8)
        column[-1].set(xlabel="agents (dotted: random subsets; dashed: with look-alikes)")
    axes[0, 0].annotate("Interloom, another LM and data", (11, 0.91), fontsize=7, color="gray")
    return figure


def _grown(ax: Any, condition: str, key: str) -> None:
    """Draw one measure of every system that has it, by way of growing."""
    found = [row for row in rows("scaling") if row["condition"] == condition]
    shown = set[str]()
    for number, system in enumerate(dict.fromkeys(row["system"] for row in found)):
        for growth, style in (
            ("random draws", ":"),
            ("all distractors", "--"),
            ("look-alikes left out", "-"),
        ):
            line = sorted(
                (row["agents"], row[key])
                for row in found
                if row["system"] == system and row["growth"] in (growth, "ours alone")
            )
            if len(line) < 2:
                continue
            label = None if system in shown else term(system)
            shown.add(system)
            ax.plot(*zip(*line, strict=True), style, marker=".", color=f"C{number}", label=label)


def order() -> Any:
    """Accuracy by the position of the right agent in the prompt."""
    figure, ax = plt.subplots(figsize=(6, 4))
    found = [row for row in rows("order") if row["what"].startswith("right agent in fifth")]
    for lm in dict.fromkeys(row["lm"] for row in found):
        line = [row for row in found if row["lm"] == lm]
        rates = np.array([row["rate"] for row in line])
        spans = np.abs(np.array([row["ci95"] for row in line]).T - rates)
        ax.errorbar(
            range(1, len(line) + 1), rates, yerr=spans, marker="o", capsize=3, label=term(lm)
        )
    ax.set(xlabel="position of the right agent in the prompt, fifths", ylabel="top-1", ylim=(0, 1))
    ax.set_xticks(range(1, 6))
    ax.legend()
    return figure


def reliability() -> Any:
    """Reliability of every signal that is a probability: the program's and each LM's."""
    found = [row for row in rows("confidence") if "reliability" in row and _own(row)]
    lms = list(dict.fromkeys(row["lm"] for row in found))
    figure, axes = plt.subplots(
        1, len(lms), figsize=(4.5 * len(lms), 4.8), sharey=True, squeeze=False
    )
    for ax, lm in zip(axes[0], lms, strict=True):
        ax.plot([0, 1], [0, 1], color="gray", linewidth=1)
        for row in found:
            if row["lm"] == lm:
                stated, observed, _ = zip(*row["reliability"], strict=True)
                ax.plot(stated, observed, marker="o", label=f"{term(row['sign'])}, n {row['n']}")
        ax.set(title=term(_whose(lm)), xlabel="confidence", xlim=(0, 1), ylim=(0, 1.02))
        ax.legend(fontsize=7, loc="lower right")
    axes[0, 0].set_ylabel("accuracy")
    return figure


def coverage() -> Any:
    """Accuracy against coverage: all requests, and those that LMs were asked about."""
    found = [row for row in rows("confidence") if "accuracy_at_coverage" in row]
    figure, axes = plt.subplots(1, 2, figsize=(14, 4.8), sharey=True)
    for ax, which in zip(axes, ("all", "a part"), strict=True):
        for number, lm in enumerate(dict.fromkeys(row["lm"] for row in found)):
            own = [row for row in found if row["requests"] == which and row["lm"] == lm]
            for row, style in zip(own, ("-", "--", ":", "-."), strict=False):
                line = [(float(c), a) for c, a in row["accuracy_at_coverage"].items()]
                ax.plot(
                    *zip(*line, strict=True), style, marker=".", color=f"C{number}",
                    label=term(row["sign"]) if lm == "none" else f"{row['sign']} ({term(lm)})",
                )  # fmt: skip
        most = max(row["n"] for row in found if row["requests"] == which)
        ax.set(
            title=f"{'all requests' if which == 'all' else 'subset asked of LMs'}, n {most}",
            xlabel="coverage", ylim=(0, 1.02),
        )  # fmt: skip
    axes[0].legend(fontsize=7, loc="lower left")
    axes[1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    axes[0].set_ylabel("top-1")
    return figure


def _own(row: dict[str, Any]) -> bool:
    """Return whether a row is of all the requests that its signal was taken on."""
    return row["lm"] != "none" or row["requests"] == "all"


def _whose(lm: str) -> str:
    return "no LM" if lm == "none" else lm


def pareto() -> Any:
    """Accuracy against tokens per task."""
    figure, ax = plt.subplots(figsize=(7, 4.5))
    found = rows("prompting")
    for number, lm in enumerate(dict.fromkeys(row["lm"] for row in found)):
        for row in found:
            if row["lm"] == lm:
                low, high = row["top1_ci95"]
                at = row["tokens_per_task"] + 1
                ax.errorbar(
                    at, row["top1"], yerr=[[row["top1"] - low], [high - row["top1"]]],
                    marker="o", color=f"C{number}", capsize=3,
                )  # fmt: skip
                ax.annotate(
                    f"{term(row['way'])}, n {row['n']}", (at * 1.1, row["top1"]), fontsize=7
                )
        ax.plot([], [], marker="o", color=f"C{number}", label=term(_whose(lm)))
    ax.set(xscale="log", xlabel="tokens per task + 1", ylabel="top-1 (95% CI)", ylim=(0, 1))
    ax.legend()
    return figure


def learning() -> Any:
    """Selection from unseen shortlists against training examples, per adapter."""
    figure, (picked, flips) = plt.subplots(1, 2, figsize=(11, 4), sharex=True, sharey=True)
    found = [row for row in rows("finetuned") if row["part"] == "learning"]
    for number, (lm, data) in enumerate(dict.fromkeys((r["lm"], r["data"]) for r in found)):
        line = [row for row in found if (row["lm"], row["data"]) == (lm, data)]
        examples, color = [row["examples"] for row in line], f"C{number}"
        picked.plot(examples, [row["both"] for row in line], ".-", color=color, label=data)
        picked.axhline(line[0]["retrieval"], color=color, linestyle=":")
        flips.plot(
            examples, [row["flips"] for row in line], ".-", color=color, label=f"{data}: {lm}"
        )
    picked.set(
        xlabel="examples", ylabel="rate", ylim=(0, 1.02),
        title="LM top-1, both orders (dotted: retrieval)",
    )  # fmt: skip
    flips.set(xlabel="examples", title="order flips")
    flips.legend(fontsize=8)
    return figure


def scale() -> Any:
    """Accuracy from 10 to 10,000 agents: BM25, frozen weights, refitted weights."""
    conditions = ("samples withheld", "samples for all")
    figure, axes = plt.subplots(1, len(conditions), figsize=(11, 4.2), sharey=True)
    for ax, condition in zip(axes, conditions, strict=True):
        for number, system in enumerate(_SCALED):
            for growth, style in (("look-alikes left out", "-"), ("all distractors", ":")):
                line = _top1_by_size(condition, growth, system)
                label = term(system) if style == "-" else None
                ax.plot(
                    *zip(*line, strict=True), style, marker=".", color=f"C{number}", label=label
                )
        ax.plot([], [], "k:", label="with look-alikes")
        ax.set(xscale="log", xlabel="agents", title=term(condition), ylim=(0, 1))
        ax.legend(fontsize=8, loc="lower left")
    axes[0].set_ylabel("top-1, n 280")
    return figure


def _top1_by_size(condition: str, growth: str, system: str) -> list[tuple[int, float]]:
    """Return sizes with accuracy; refitted weights start where frozen ones were fitted."""
    small = ("random draws", "ours alone")
    found = []
    for row in rows("scaling"):
        if row["condition"] != condition or row["growth"] not in (growth, *small):
            continue
        fitted_here = system == _SCALED[-1] and row["growth"] == "ours alone"
        if row["system"] == system or (fitted_here and row["system"] == "compiled"):
            found.append((row["agents"], row["top1"]))
    return sorted(found)


def trust() -> Any:
    """Accuracy against coverage with the operating point, and reliability."""
    row = next(
        r for r in rows("confidence") if r["sign"] == "calibrated confidence" and _own(r)
    )  # fmt: skip
    [report] = rows("default")
    figure, (curve, reliable) = plt.subplots(1, 2, figsize=(10, 4))
    line = [(float(coverage), top1) for coverage, top1 in row["accuracy_at_coverage"].items()]
    curve.plot(*zip(*line, strict=True), ".-", label=f"this program, n {row['n']}")
    target = read_manifest(find("default"))["calibration"]["promise"]["target"]
    curve.axhline(target, color="gray", linestyle=":", label=f"target precision {target:.0%}")
    curve.plot(
        report["decisions"]["assign"] / report["n"], report["precision_assigned"], "r*",
        markersize=12, label="operating point",
    )  # fmt: skip
    curve.set(
        xlabel="coverage", ylabel="top-1", ylim=(0.5, 1.02), title="accuracy against coverage"
    )
    curve.legend(fontsize=8, loc="lower left")
    stated, observed, _ = zip(*row["reliability"], strict=True)
    reliable.plot([0, 1], [0, 1], color="gray", linewidth=1)
    reliable.plot(stated, observed, "o-")
    reliable.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    reliable.set_title("reliability, bins of ten or more")
    return figure


def parts() -> Any:
    """What each part is worth, with intervals."""
    found = worth()[::-1]
    figure, ax = plt.subplots(figsize=(8, 4))
    differences = np.array([100 * part.versus["difference"] for part in found])
    bounds = 100 * np.array([part.versus["ci95"] for part in found]).T
    ax.errorbar(
        differences, range(len(found)), xerr=np.abs(bounds - differences), fmt="o", capsize=3
    )
    ax.axvline(0, color="gray", linewidth=1)
    ax.set_yticks(range(len(found)), [f"{part.name} ({part.metric})" for part in found], fontsize=8)
    ax.set(xlabel="with minus without, points (95% CI)")
    return figure


def asked() -> Any:
    """What a recorded large LM brings against the share of tasks that it is asked about."""
    found = [row for row in rows("large_lm") if row["data"] == "ours"]
    shares = np.array([row["lm_share"] for row in found])
    figure, ax = plt.subplots(figsize=(7, 4.2))
    for measure, label in _ASKED.items():
        values = np.array([row[measure] for row in found])
        bounds = np.array([row[f"{measure}_ci95"] for row in found]).T
        ax.plot(shares, values, ".-", label=label.format(**found[0]))
        ax.fill_between(shares, *bounds, alpha=0.15)
    ax.set(xlabel="share of the tasks in scope asked", ylabel="rate (95% CI)", ylim=(0.4, 1.01))
    ax.legend(loc="lower right")
    return figure


def embedders() -> Any:
    """Accuracy against processor time a request, by data set and embedder."""
    figure, ax = plt.subplots(figsize=(7, 4.5))
    cost = {row["embedder"]: row for row in rows("embedders") if row["part"] == "cost"}
    found = [row for row in rows("embedders") if row["part"] == "accuracy"]
    for number, data in enumerate(dict.fromkeys(row["data"] for row in found)):
        own = [row for row in found if row["data"] == data]
        line = sorted((cost[row["embedder"]]["ms"], row["top1"], *row["top1_ci95"]) for row in own)
        ms, top1, low, high = np.array(line).T
        ms = ms * 1.015 ** (number - 2)  # side by side
        ax.errorbar(
            ms, top1, yerr=(top1 - low, high - top1), fmt="o", color=f"C{number}", capsize=3,
            label=f"{data}, n {own[0]['n']}",
        )  # fmt: skip
        best = np.maximum.accumulate(top1)
        ax.plot(ms[top1 == best], top1[top1 == best], "-", color=f"C{number}", alpha=0.5)
    for spec, row in cost.items():
        ax.axvline(row["ms"], color="gray", linewidth=0.5, linestyle=":")
        ax.annotate(
            f"{spec}, {row['ms']:.0f} ms, {row['mb']:.0f} MB", (row["ms"], 1.01), fontsize=8,
            ha="center", rotation=10, xycoords=("data", "axes fraction"),
        )  # fmt: skip
    ax.set(xscale="log", xlabel="ms of processor time a request", ylabel="top-1 (95% CI)")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def samples() -> Any:
    """Accuracy against samples per agent, by data set and encoder."""
    found = rows("samples")
    sets = list(dict.fromkeys(row["data"] for row in found))
    figure, axes = plt.subplots(1, len(sets), figsize=(3.2 * len(sets), 3.6), sharey=True)
    for ax, name in zip(axes, sets, strict=True):
        own = [row for row in found if row["data"] == name]
        for spec in dict.fromkeys(row["encoder"] for row in own):
            line = [(row["samples"], row["top1"]) for row in own if row["encoder"] == spec]
            ax.plot(*zip(*line, strict=True), ".-", label=spec)
        counts = sorted({row["samples"] for row in own})
        ax.set(xscale="log", xlabel="samples per agent", title=f"{name}, n {own[0]['n']}")
        ax.set_xticks(counts, [str(count) for count in counts])
        ax.minorticks_off()
    axes[0].set_ylabel("top-1")
    axes[0].legend(fontsize=8, loc="lower right")
    return figure


PLOTS: dict[str, tuple[str, Callable[[], Any]]] = {
    "scale": ("scaling", scale),
    "scaling": ("scaling", scaling),
    "trust": ("default", trust),
    "parts": ("ablation", parts),
    "order": ("order", order),
    "reliability": ("confidence", reliability),
    "coverage": ("confidence", coverage),
    "asked": ("large_lm", asked),
    "pareto": ("prompting", pareto),
    "learning": ("finetuned", learning),
    "embedders": ("embedders", embedders),
    "samples": ("samples", samples),
}


def draw(experiment: str | None = None) -> None:
    """Draw one study's plots, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (source, make) in PLOTS.items():
        if experiment in (None, source) and rows(source):
            figure = make()
            figure.tight_layout()
            figure.savefig(_file(name), dpi=_DPI, metadata={"Software": None})
            plt.close(figure)


def of(experiment: str) -> list[Path]:
    """Return the files of a study's plots that are drawn."""
    files = [_file(name) for name, (source, _) in PLOTS.items() if source == experiment]
    return [file for file in files if file.is_file()]


def _file(plot: str) -> Path:
    return FOLDER / f"{plot}.png"
