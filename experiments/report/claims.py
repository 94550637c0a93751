"""Render the blocks of README.md that state numbers, from result files."""

from typing import Any

from experiments.report.status import summary_line
from experiments.studies.large_lm import CAPPED, MIXED, MOST_ASKED, MPNET
from experiments.studies.lm_answers import table as ways_asked
from experiments.studies.peers import best_library
from experiments.studies.scaling import row_of
from experiments.studies.transfer_lm import whole
from experiments.support.drawn_registries import assigned_share
from experiments.support.format import difference, interval, markdown, percent, rate
from experiments.support.reports import TRUST
from experiments.support.results import rows
from experiments.support.terms import term
from task_delegator.artifact import find, read_manifest

_UNLABELED = "docs/confidence.md#with-an-lm-and-no-label"
_REFITTED = "compiled, weights fitted again"


def claim() -> str:
    """Return the headline numbers, with a large LM and without, and what they rest on."""
    shares = {row["ask_share"]: row for row in rows("large_lm") if row["data"] == "ours"}
    alone, asked = shares[0.0], shares[MOST_ASKED]
    [enriched] = rows("default")
    best, new = best_library(rows("peers"), "ours"), whole(rows("transfer_lm"))
    return (
        f"**{percent(asked['top1'])} top-1** {interval(asked['top1_ci95'])} with a large LM that "
        f"is asked about {percent(asked['lm_share'])} of the tasks, and "
        f"**{percent(alone['top1'])}** {interval(alone['top1_ci95'])} without an LM, on "
        f"{asked['n']} held-out requests for 70 look-alike agents. Of everything that is then "
        f"assigned, requests for nobody included, {percent(asked['precision_all_assigned'])} is "
        f"right ({percent(alone['precision_all_assigned'])} without the LM).\n\n"
        f"The LM's answers were recorded. An LM of its family wrote the data, which flatters. "
        f"With the agents' entries enriched offline by such an LM, and no LM asked: "
        f"{percent(enriched['top1'])} {interval(enriched['top1_ci95'])} in "
        f"{enriched['latency_ms']['p50']:.0f} ms (median); BM25 "
        f"{percent(enriched['baseline_bm25_top1'])}, best router library {percent(best['top1'])} "
        f"({best['system']}).\n\n"
        f"Without a label such an LM [decides what would be reviewed]({_UNLABELED}): "
        f"{percent(assigned_share(new))} of the tasks are then assigned, not "
        f"{percent(assigned_share(new['alone']))} (n {new['counts']['n_in']:,}, recorded too)."
    )


def lm_answers() -> str:
    """Return what one structured answer is worth beside several, and beside log-probabilities."""
    found = rows("lm_answers")
    if not found:
        return ""
    return (
        f"The same LM and requests, {percent(found[0]['lm_share'])} of them asked, in other ways "
        "([lm_answers](../experiments/results/lm_answers.md)). Drawn answers come from the "
        f"recorded belief, and a ranking is that belief in two digits.\n\n{ways_asked(found)}"
    )


def large_lm() -> str:
    """Return what a large LM brings on our data, by share of tasks asked."""
    names = {
        "ours": "",
        CAPPED.format("ours"): ", `max_lm_share`",
        MIXED.format("ours"): ", `max_lm_share`, mixed",
        CAPPED.format(MPNET): ", `max_lm_share`, mpnet",
        MIXED.format(MPNET): ", `max_lm_share`, mixed, mpnet",
    }
    ours = [row for row in rows("large_lm") if row["data"] in names]
    shown = markdown(
        ours,
        {
            "asked at most": lambda r: f"{r['ask_share']:.0%}{names[r['data']]}",
            "asked": lambda r: percent(r["lm_share"]),
            "out of scope asked": lambda r: percent(r["lm_share_out_of_scope"]),
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "precision of all assigned": lambda r: rate(r, "precision_all_assigned"),
            "assigned": lambda r: r["n_all_assigned"],
            "out of scope turned away": lambda r: rate(r, "turned_away"),
            "AUROC scope": lambda r: f"{r['oos_auroc']:.3f}",
        },
    )
    return (
        f"A recorded large LM on our test requests, as written (n {ours[0]['n']} in scope, "
        f"{ours[0]['n_out_of_scope']} out of scope). The data are of its family, which flatters; "
        f"public sets: [large_lm](../experiments/results/large_lm.md).\n\n{shown}"
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
    # Manifests from before the share was recorded: in scope alone, a bound at 95 %.
    share, sure = promise.get("out_of_scope_share", 0.0), 1 - promise.get("delta", 0.05)
    mixed = f" at {percent(share)} out of scope" if share else ""
    return (
        "*Assigned*: in scope, and confidence at or above the lowest threshold that reached "
        f"{percent(promise['target'])} precision{mixed} on validation ({promise['right']} of "
        f"{promise['n']}, lower bound {percent(promise['lower_bound'])} at {sure:.0%}): "
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
            | {"BM25": difference(bm25["versus_70"], -1)}
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
                | {"n": frozen["n"], "goal": goal}
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
        },
    )


CLAIMS = {
    "claim": claim,
    "results": results,
    "confidence": confidence,
    "grown": grown,
    "large_lm": large_lm,
    "lm_answers": lm_answers,
    "missing": summary_line,
}
