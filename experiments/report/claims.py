"""Sentences of the documents that state numbers, from result files."""

from operator import itemgetter
from typing import Any

from experiments.support.format import percent, points, rows, span_points, table
from task_delegator.artifact import find, read_manifest


def claim() -> str:
    """Return the best honest number in a sentence, and what it owes to whom."""
    report = rows("default")[0]
    low, high = report["top1_ci95"]
    versus = report["versus_bm25"]
    written = {row["writer"]: row for row in rows("enrichment")}
    bare, completed = written["as it is"], written["large LM"]["versus_as_it_is"]
    order = next(row for row in rows("order") if row["lm"] == "none")
    return (
        f"On {report['n']} held-out requests for 70 agents in five domains, many of them alike, it names the right one first in "
        f"**{percent(report['top1'])}** (95 % interval {percent(low)} to {percent(high)}) and among the "
        f"first three in **{percent(report['top3'])}**, without asking a language model, in "
        f"{report['latency_ms']['p50']:.0f} ms (median). BM25 over the same texts: "
        f"{percent(report['baseline_bm25_top1'])} (paired difference {points(versus['difference'])} points, "
        f"{span_points(versus['ci95'])}, p = {versus['p']:.1g}). Agents and requests "
        "are synthetic, and a large LM of the family that wrote them completed the agents' entries offline "
        f"(`datasets/enrichment.json`), which flatters: compiled for the agents as they were written, it is "
        f"{percent(bare['top1'])} and {percent(bare['top3'])} (BM25 {percent(bare['baseline_bm25_top1'])}).\n\n"
        f"{_worth(completed)}\n\n"
        f"The order in which agents are registered changes no answer: none of {order['n']} rankings differed over six orders."
    )


def _worth(completed: dict[str, Any]) -> str:
    """Return what the search, the completed agents and the LM are worth to what ships."""
    parts = {row["variant"]: row for row in rows("ablation") if row["part"] == "retrieval"}
    fixed = parts["fixed weights (the uncompiled program)"]
    lesson = read_manifest(find("default"))["lesson"]
    said = (
        f"Where that comes from, on test: completing the agents adds {points(completed['difference'])} points "
        f"({span_points(completed['ci95'])}); searching the weights adds nothing that can be shown, "
        f"{percent(parts['lean']['top1'])} against {percent(fixed['top1'])} with fixed ones (p = {fixed['versus_lean']['p']:.2g})."
    )
    if lesson and not lesson["weight"]:
        gained, error = lesson["gains"]["optimised"]
        said += (
            f" On {lesson['asked']} validation requests that retrieval is not sure of, no gain from the embedded LM could be"
            f" shown (log-likelihood {gained:+.3f}, standard error {error:.3f}), so the program that ships gives its word no weight and"
            " asks none"
        )
        said += (
            "; no prompt of DSPy's optimisers was kept either." if not lesson["optimizer"] else "."
        )
        said += " Compile with your LM to see whether it helps."
    return said


def grown() -> str:
    """Return what more agents cost: from 10 to 70 of ours, from 70 to 10,000."""
    found = []
    many = _grown("agents completed", "ours alone", 70, "compiled")
    for growth in ("random draws", "own family first"):
        few = _grown("agents completed", growth, 10, "compiled")
        bm25 = _grown("agents completed", growth, 10, "BM25")
        found.append(
            {"agents": "10 → 70", "which": f"ours, completed; {growth}", "n": few["n"], "goal": 5}
            | {"top1": _from_to(few, many), "lost": _lost(few, 1), "as it stands": "the same"}
            | {"BM25": _lost(bm25, 1), "ms": "-"}
        )
    for condition in ("samples withheld", "samples for all"):
        ours = _grown(condition, "ours alone", 70, "compiled")
        for growth in ("look-alikes left out", "all distractors"):
            kept, again, bm25 = (
                _grown(condition, growth, 10_000, system)
                for system in ("compiled", "compiled, weights fitted again", "BM25")
            )
            found.append(
                {"agents": "70 → 10,000", "which": f"{condition}; {growth}", "n": kept["n"]}
                | {"goal": 12 if growth == "look-alikes left out" else "-"}
                | {"top1": _from_to(ours, again), "lost": _lost(again, -1)}
                | {"as it stands": _lost(kept, -1), "BM25": _lost(bm25, -1)}
                | {"ms": f"{kept['p50_ms']:.1f}"}
            )
    return table(
        found,
        {
            "agents": itemgetter("agents"),
            "which": itemgetter("which"),
            "n": itemgetter("n"),
            "top-1": itemgetter("top1"),
            "points lost (95 %)": itemgetter("lost"),
            "at most, by the goal": itemgetter("goal"),
            "lost with the weights for 70": itemgetter("as it stands"),
            "BM25 loses": itemgetter("BM25"),
            "ms per task after growing, median": itemgetter("ms"),
        },
    )


def _from_to(one: dict[str, Any], other: dict[str, Any]) -> str:
    return f"{percent(one['top1'])} → {percent(other['top1'])}"


def _grown(condition: str, growth: str, agents: int, system: str) -> dict[str, Any]:
    wanted = (condition, growth, agents, system)
    keys = ("condition", "growth", "agents", "system")
    return next(row for row in rows("scaling") if tuple(row[key] for key in keys) == wanted)


def _lost(row: dict[str, Any], sign: int) -> str:
    """Return the points by which a row stands above 70 agents, or below where the sign is -1."""
    versus = row["versus_70"]
    low, high = sorted(sign * bound for bound in versus["ci95"])
    return f"{points(sign * versus['difference'])} ({span_points((low, high))})"
