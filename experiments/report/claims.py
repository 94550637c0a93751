"""Render the blocks of README.md that state numbers, from result files."""

from typing import Any

from experiments.report.status import summary_line
from experiments.studies.peers import best_library
from experiments.studies.scaling import row_of
from experiments.support.format import difference, interval, markdown, percent, points, rate
from experiments.support.reports import TRUST
from experiments.support.results import rows
from experiments.support.terms import term
from task_delegator.artifact import find, read_manifest

_REFITTED = "compiled, weights fitted again"
_SIGNIFICANT = 0.05


def claim() -> str:
    """Return the headline number, its baselines and what it rests on."""
    [report] = rows("default")
    written, enriched = (
        next(row for row in rows("enrichment") if row["writer"] == writer)
        for writer in ("as it is", "large LM")
    )
    best = best_library(rows("peers"), "ours")
    fixed = next(
        row for row in rows("ablation")
        if row["variant"] == "fixed weights (the uncompiled program)"
    )["versus_lean"]  # fmt: skip
    gained = enriched["versus_as_it_is"]
    verdict = "adds nothing significant" if fixed["p"] > _SIGNIFICANT else "differs significantly"
    return (
        f"**{percent(report['top1'])} top-1** {interval(report['top1_ci95'])} and "
        f"{percent(report['top3'])} top-3 on {report['n']} held-out requests for 70 look-alike "
        f"agents, without an LM, in {report['latency_ms']['p50']:.0f} ms (median). BM25: "
        f"{percent(report['baseline_bm25_top1'])}; best router library: {percent(best['top1'])} "
        f"({best['system']}). The data are synthetic, and the agents' entries were enriched "
        f"offline by an LM of the family that wrote them: {percent(written['top1'])} without.\n\n"
        f"Enrichment adds {points(gained['difference'])} points {interval(gained['ci95'])}; "
        f"searching the fusion weights {verdict} ({difference(fixed, -1)}). {_lm_share()}"
    )


def _lm_share() -> str:
    """Return what the LM is worth to the shipped program."""
    found = read_manifest(find("default"))["lm_stage"]
    if not found or found["weight"]:
        return "The shipped program asks an LM about tasks of low confidence."
    gained, error = found["gains"]["optimized"]
    return (
        "The shipped program asks no LM: on "
        f"{found['asked']} uncertain validation requests the embedded one added nothing "
        f"(log-likelihood {gained:+.3f} ± {error:.3f}). "
        "Compile with your LM to see whether it helps."
    )


def results() -> str:
    """Return accuracy by data set: ours enriched and as written, and the public sets."""
    written = next(row for row in rows("enrichment") if row["writer"] == "as it is")
    found = [
        {"set": "ours, enriched", "agents": 70, **rows("default")[0]},
        {"set": "ours, as written", "agents": 70, **written},
        *({"set": row["data"], **row} for row in rows("public")),
    ]
    return markdown(
        found,
        {
            "data": lambda r: r["set"],
            "agents": lambda r: f"{r['agents']:,}",
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "BM25": lambda r: percent(r["baseline_bm25_top1"]),
            "over BM25, points": lambda r: difference(r["versus_bm25"]),
            "median ms": lambda r: f"{r['latency_ms']['p50']:.0f}",
        },
    )


def confidence() -> str:
    """Return what the confidence is worth on test, and the threshold's operating point."""
    found = [
        {"set": "ours", **rows("default")[0]},
        *({"set": row["data"], **row} for row in rows("public")),
    ]
    return f"{markdown(found, {'data': lambda r: r['set'], **TRUST})}\n\n{_operating_point()}"


def _operating_point() -> str:
    """Return what the shipped threshold guarantees."""
    promise = read_manifest(find("default"))["calibration"]["promise"]
    kept = "is" if promise["kept"] else "is not"
    return (
        "*Assigned*: in scope, and confidence at or above the lowest threshold that reached "
        f"{percent(promise['target'])} precision on validation ({promise['right']} of "
        f"{promise['n']}, lower bound {percent(promise['lower_bound'])} at 95%): "
        f"{percent(promise['target'])} {kept} guaranteed."
    )


def grown() -> str:
    """Return the accuracy lost from 10 to 70 agents and from 70 to 10,000."""
    found = rows("scaling")
    shown: list[dict[str, Any]] = []
    many = row_of(found, "agents completed", "ours alone", 70, "compiled")
    for growth in ("random draws", "own family first"):
        few, bm25 = (
            row_of(found, "agents completed", growth, 10, system) for system in ("compiled", "BM25")
        )
        shown.append(
            {"agents": "10 to 70", "registry": f"enriched, {term(growth)}", "n": few["n"]}
            | {"top1": f"{percent(few['top1'])} to {percent(many['top1'])}", "goal": "-5"}
            | {"refitted": difference(few["versus_70"], -1), "frozen": "the same"}
            | {"BM25": difference(bm25["versus_70"], -1), "ms": "-"}
        )
    for condition in ("samples withheld", "samples for all"):
        base = row_of(found, condition, "ours alone", 70, "compiled")
        for growth in ("look-alikes left out", "all distractors"):
            frozen, again, bm25 = (
                row_of(found, condition, growth, 10_000, system)
                for system in ("compiled", _REFITTED, "BM25")
            )
            goal = "-12" if growth == "look-alikes left out" else "-"
            shown.append(
                {"agents": "70 to 10,000", "registry": f"{term(condition)}, {term(growth)}"}
                | {"n": frozen["n"], "goal": goal, "ms": f"{frozen['p50_ms']:.1f}"}
                | {"top1": f"{percent(base['top1'])} to {percent(again['top1'])}"}
                | {"refitted": difference(again["versus_70"])}
                | {"frozen": difference(frozen["versus_70"])}
                | {"BM25": difference(bm25["versus_70"])}
            )
    return markdown(
        shown,
        {
            "agents": lambda r: r["agents"],
            "registry": lambda r: r["registry"],
            "n": lambda r: r["n"],
            "top-1": lambda r: r["top1"],
            "change after recompiling, points": lambda r: r["refitted"],
            "goal": lambda r: r["goal"],
            "with frozen weights": lambda r: r["frozen"],
            "BM25": lambda r: r["BM25"],
            "median ms after": lambda r: r["ms"],
        },
    )


CLAIMS = {
    "claim": claim,
    "results": results,
    "confidence": confidence,
    "grown": grown,
    "missing": summary_line,
}
