"""Render the tables of experiments/README.md, from result files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from experiments.studies.optimizers import best_optimizer
from experiments.studies.peers import best_library, data_sets
from experiments.studies.scaling import row_of
from experiments.studies.transfer_lm import by_size as lm_by_size
from experiments.support.drawn_registries import by_size
from experiments.support.format import (
    difference,
    estimate,
    interval,
    markdown,
    p_value,
    percent,
    points,
    rate,
)
from experiments.support.reports import calibration_error, precision_overall
from experiments.support.results import rows
from experiments.support.terms import term
from task_delegator.artifact import find, read_manifest
from task_delegator.embedders import DEFAULT

_REFITTED = "compiled, weights fitted again"
_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of the program is worth: with it minus without it.

    Attributes:
        metric: what is compared, and on which data.
        versus: the paired difference, as ``metrics.Comparison`` as a dict.
    """

    name: str
    metric: str
    n: int
    versus: dict[str, Any]


def accuracy() -> str:
    """Return accuracy by data set beside BM25, the best library and a plain classifier."""
    bm25 = {"ours": rows("default")[0]} | {row["data"]: row for row in rows("public")}
    peers = rows("peers")
    written = next(row for row in rows("enrichment") if row["writer"] == "as it is")
    shown = []
    for data in data_sets(peers):
        own = {row["system"]: row for row in peers if row["data"] == data}
        best = best_library(peers, data)
        shown.append(
            {
                "data": "ours, enriched" if data == "ours" else data,
                "agents": f"{bm25[data].get('agents', 70):,}",
                "bm25": percent(bm25[data]["baseline_bm25_top1"]),
                "library": f"{percent(best['top1'])} ({best['system']})",
                "regression": percent(own["minilm-logistic"]["top1"]),
                "program": own["this program"],
                "versus": difference(best["versus"]),
            }
        )
    as_written = {
        "data": "ours, as written",
        "agents": "70",
        "bm25": percent(written["baseline_bm25_top1"]),
        "library": "-",
        "regression": "-",
        "program": written,
        "versus": "-",
    }
    return markdown(
        [shown[0], as_written, *shown[1:]],
        {
            "data": lambda r: r["data"],
            "agents": lambda r: r["agents"],
            "n": lambda r: r["program"]["n"],
            "BM25": lambda r: r["bm25"],
            "best library": lambda r: r["library"],
            "regression, same embeddings": lambda r: r["regression"],
            "this program [95% CI]": lambda r: rate(r["program"], "top1"),
            "minus best library, points": lambda r: r["versus"],
        },
    )


def scale() -> str:
    """Return the points lost as the agents grow in number."""
    found = rows("scaling")
    small = {
        system: row_of(found, "agents completed", "random draws", 10, system)["versus_70"]
        for system in ("BM25", "compiled")
    }
    shown = [
        {"growth": "10 to 70, enriched agents", "BM25": difference(small["BM25"], -1)}
        | {"compiled": difference(small["compiled"], -1), _REFITTED: "-"}
    ]
    for condition in ("samples withheld", "samples for all"):
        large = {
            system: row_of(found, condition, "look-alikes left out", 10_000, system)["versus_70"]
            for system in ("BM25", "compiled", _REFITTED)
        }
        shown.append(
            {"growth": f"70 to 10,000, {term(condition)}"}
            | {system: difference(versus) for system, versus in large.items()}
        )
    return markdown(
        shown,
        {
            "agents": lambda r: r["growth"],
            "BM25": lambda r: r["BM25"],
            "frozen weights": lambda r: r["compiled"],
            "refitted weights": lambda r: r[_REFITTED],
        },
    )


def trust() -> str:
    """Return what the confidence of the shipped program is worth on test."""
    [report] = rows("default")
    promise = read_manifest(find("default"))["calibration"]["promise"]
    overall = precision_overall(report)
    bound = (
        f"{promise['right']} of {promise['n']}, lower bound {percent(promise['lower_bound'])} "
        f"(target {percent(promise['target'])})"
    )
    shown = {
        "ECE [range if calibrated]": calibration_error(report),
        "assigned": percent(report["decisions"]["assign"] / report["n"]),
        "precision of assigned, in scope": rate(report, "precision_assigned"),
        "precision of assigned, out of scope included": percent(overall or 0.0),
        "out-of-scope AUROC": f"{report['oos_auroc']:.3f}",
        "precision at the threshold on validation": bound,
    }
    columns = {"measure": lambda r: r[0], "ours, test": lambda r: r[1]}
    return markdown(shown.items(), columns)


def worth() -> list[Part]:
    """Return what each part is worth, the program's own parts first."""
    ablation = {row["variant"]: row for row in rows("ablation")}
    enriched = next(row for row in rows("enrichment") if row["writer"] == "large LM")
    tuned = [row for row in rows("finetuned") if row["data"] == "ours" and row["lm"] == "ships"]
    selection, gain = (
        next(row for row in tuned if row["part"] == part) for part in ("accuracy", "heard")
    )
    best = best_optimizer(rows("optimizers"))
    calibrated = ablation["margin"]

    def without(variant: str) -> dict[str, Any]:
        versus = ablation[variant]["versus_lean"]
        low, high = versus["ci95"]
        return {"difference": -versus["difference"], "ci95": [-high, -low], "p": versus["p"]}

    removed = {
        "linear head": "lean without head",
        "both MaxSim channels": "lean without late and back",
        "learned, not fixed, weights": "fixed weights (the uncompiled program)",
        "learned weights, not rank fusion": "reciprocal rank fusion of every channel",
    }
    n = enriched["n"]
    brier = {"difference": calibrated["brier_gain"], "ci95": calibrated["brier_gain_ci95"]}
    return [
        Part("enriched agents", "top-1", n, enriched["versus_as_it_is"]),
        *(Part(name, "top-1", n, without(variant)) for name, variant in removed.items()),
        Part("fine-tuned LM where uncertain", "top-1", n, gain["with_lm_versus_retrieval"]),
        Part("calibration", "Brier reduction, hundredths", calibrated["n"], brier),
        Part(
            "fine-tuning, registry unseen", "LM top-1", selection["both_versus_raw"]["n"],
            selection["both_versus_raw"],
        ),
        Part(
            f"best of ten optimizers ({best['optimizer']})", "LM top-1, validation", best["n"],
            best["versus_plain"],
        ),
    ]  # fmt: skip


def parts() -> str:
    """Return what each part is worth as a table."""
    return markdown(
        worth(),
        {
            "part": lambda p: p.name,
            "metric": lambda p: p.metric,
            "n": lambda p: p.n,
            "with minus without, points": lambda p: difference(p.versus),
        },
    )


def prompts() -> str:
    """Return what LM prompts do beside retrieval, in three sentences."""
    found = [row for row in rows("prompting") if row["lm"] != "none"]
    short = {row["lm"]: row["versus_all_agents"] for row in found if row["way"] == "shortlist"}
    gains = [f"{points(versus['difference'])} points ({term(lm)})" for lm, versus in short.items()]
    flips = [row["rate"] for row in rows("order") if row["what"].startswith("pick differs")]
    program = next(row for row in rows("order") if row["lm"] == "none")["rate"]
    best = max(found, key=lambda row: row["top1"])
    versus = best["program_versus"]
    return (
        f"Replacing all 70 agents with a shortlist of five gains {' and '.join(gains)}. "
        f"Position bias: the pick changes with the order of the 70 agents for "
        f"{percent(min(flips))} to {percent(max(flips))} of the requests, "
        f"this program's ranking for {percent(program)}. "
        f"The best prompt ({term(best['lm'])}, {term(best['way'])}) takes "
        f"{best['tokens_per_task']:,.0f} tokens and {best['seconds_per_task']:.0f} s a task on one "
        f"core; this program takes no LM and is {100 * versus['difference']:.1f} points more "
        f"accurate ({p_value(versus['p'])})."
    )


def negative() -> str:
    """Return results that did not come out as hoped."""
    part = {each.name: each for each in worth()}
    heard = [row for row in rows("finetuned") if row["part"] == "heard"]
    helped = sum(r["with_lm_versus_retrieval"]["p"] < _SIGNIFICANT for r in heard)
    hwu = next(row for row in rows("peers") if row["data"] == "hwu64" and "minilm" in row["system"])
    plans = {row["way"]: row for row in rows("plans") if row["data"] == "ours"}
    lost = row_of(rows("scaling"), "agents completed", "random draws", 10, "compiled")["versus_70"]
    optimized = next(name for name in part if "optimizers" in name)
    lines = {
        "Learned fusion weights, not fixed ones": difference(
            part["learned, not fixed, weights"].versus
        ),
        "MaxSim channels on our 70 agents": difference(part["both MaxSim channels"].versus),
        "Fine-tuned LM on unseen registries": f"significant gain on {helped} of {len(heard)}",
        f"DSPy optimizers, {optimized}": difference(part[optimized].versus),
        "Decomposition by the embedded LM (F1 gain)": estimate(
            plans["embedded LM"]["f1_gain"], plans["embedded LM"]["f1_gain_ci95"], 2
        ),
        "10 to 70 agents (goal: 5 points lost)": f"{points(-lost['difference'])} "
        f"{interval(sorted(-bound for bound in lost['ci95']))}",
        "Lead over logistic regression on hwu64": difference(hwu["versus"]),
    }
    return markdown(lines.items(), {"tried": lambda r: r[0], "result": lambda r: r[1]})


def transfer() -> str:
    """Return what is assigned in registries that the program was never calibrated for."""
    return by_size(rows("transfer"))


def transfer_lm() -> str:
    """Return the same where a large LM decides what would not be assigned without it."""
    return lm_by_size(rows("transfer_lm"))


def encoder() -> str:
    """Return what the encoder that ships finds more often than the published one, a line a set."""
    found = {(r["data"], r["samples"], r["encoder"]): r for r in rows("encoder")}
    pairs = {
        (data, samples): (found[data, samples, "minilm"], tuned)
        for (data, samples, kind), tuned in found.items()
        if kind == DEFAULT
    }
    return markdown(
        pairs.items(),
        {
            "data": lambda p: p[0][0],
            "samples": lambda p: "with" if p[0][1] else "without",
            "n": lambda p: f"{p[1][1]['n']:,}",
            "minilm, top-1": lambda p: percent(p[1][0]["top1"]),
            f"{DEFAULT}, top-1": lambda p: rate(p[1][1], "top1"),
            "gain in top-1": lambda p: difference(p[1][1]["versus"]),
            f"top-3, minilm and {DEFAULT}": lambda p: (
                f"{percent(p[1][0]['top3'])}, {percent(p[1][1]['top3'])}"
            ),
        },
    )


def samples() -> str:
    """Return top-1 by the number of samples, of the encoder that ships and of a larger one."""
    found = {(r["data"], r["encoder"], r["samples"]): r for r in rows("samples")}
    counts = sorted({count for _, _, count in found})
    sizes = {data: row["n"] for (data, _, _), row in found.items()}
    return markdown(
        [(data, spec) for data in sizes for spec in (DEFAULT, "mpnet")],
        {
            "data": lambda line: line[0],
            "n": lambda line: f"{sizes[line[0]]:,}",
            "encoder": lambda line: line[1],
        }
        | {str(count): partial(_top1_of, found, count) for count in counts},
    )


def _top1_of(
    found: Mapping[tuple[str, str, int], dict[str, Any]], count: int, line: tuple[str, str]
) -> str:
    row = found.get((*line, count))
    return "-" if row is None else percent(row["top1"])


def embedders() -> str:
    """Return what each embedder brings and costs, a line each."""
    found = rows("embedders")
    pooled, ours, abroad, cost = (
        {row["embedder"]: row for row in found if row["part"] == part and row.get(key) == value}
        for part, key, value in (
            ("accuracy", "data", "pooled"),
            ("accuracy", "data", "ours"),
            ("languages", "group", "all"),
            ("cost", "data", None),
        )
    )
    return markdown(
        cost,
        {
            "embedder": lambda e: e,
            f"top-1, four data sets, n {pooled['minilm']['n']:,}": lambda e: rate(
                pooled[e], "top1"
            ),
            "less minilm's": lambda e: difference(pooled[e]["versus"]),
            "top-3": lambda e: percent(pooled[e]["top3"]),
            f"ours: top-1, n {ours['minilm']['n']}": lambda e: percent(ours[e]["top1"]),
            f"other languages: top-3 (in English), n {abroad['minilm']['n']}": lambda e: (
                f"{percent(abroad[e]['top3'])} ({percent(abroad[e]['english_top3'])})"
            ),
            "processor time, times minilm's": lambda e: f"{cost[e]['ratio']:.1f}",
            "MB": lambda e: f"{cost[e]['mb']:.0f}",
            "minutes for 10,000 descriptions": lambda e: f"{cost[e]['minutes']:.1f}",
        },
    )


EXHIBITS = {
    "embedders": embedders,
    "encoder": encoder,
    "samples": samples,
    "transfer": transfer,
    "transfer_lm": transfer_lm,
    "accuracy": accuracy,
    "scale": scale,
    "trust": trust,
    "parts": parts,
    "prompts": prompts,
    "negative": negative,
}
