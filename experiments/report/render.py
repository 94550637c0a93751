"""Write the tables of README.md and experiments/README.md from result files.

``python -m experiments.report.render`` rewrites what stands between the markers; a test fails
where the documents and the results differ.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.boards import BOARDS
from experiments.report.claims import claim, grown
from experiments.support.format import (
    asking,
    attacks,
    confidence_parts,
    difference,
    enrichment,
    gate,
    languages,
    percent,
    plans,
    retrieval_parts,
    rows,
    rubric,
    scope_parts,
    share,
    table,
    writer,
)
from experiments.support.results import latest, shipped
from experiments.tuned_boards import TUNED_BOARDS
from task_delegator.agents import write_text
from task_delegator.artifact import find, read_manifest

DOCUMENTS = (Path("README.md"), Path("experiments/README.md"))


def main() -> None:
    """Rewrite the tables."""
    for path in DOCUMENTS:
        write_text(path, render(path.read_text(encoding="utf-8")))


def render(text: str) -> str:
    """Return a document with its generated blocks made anew."""
    for name, make in BLOCKS.items():
        opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
        if opening in text:
            before, rest = text.split(opening, 1)
            after = rest.split(closing, 1)[1]
            text = f"{before}{opening}\n{make()}\n{closing}{after}"
    return text


def missing() -> str:
    """Return which experiments have no committed result, and which another one than ships."""
    names = sorted(path.stem for path in Path("experiments/studies").glob("*.py") if _runs(path))
    found = {name: latest(name) for name in names}
    absent = [name for name, result in found.items() if result is None]
    now = shipped()
    older = [
        name
        for name, result in found.items()
        if result is not None and not now.items() <= result.get("models", {}).items()
    ]
    said = f"Not yet run in full: {', '.join(absent)}." if absent else "All were run in full."
    if older:
        said += f" With an earlier program or adapter than those that ship now: {', '.join(older)}."
    return said


def _runs(path: Path) -> bool:
    """Tell whether a file is an experiment: a module with ``run(quick)``."""
    return "\ndef run(quick: bool)" in path.read_text(encoding="utf-8")


def results() -> str:
    """Return the table of results: what, on which data, n, interval, LM, cost."""
    lines = [
        "| program | data (test split) | agents | n | top-1 | 95 % | top-3 | BM25 top-1 | over BM25, points (95 %) | LM asked | LM calls per task | tokens per task | ms per task, median |",
        f"|{'---|' * 13}",
    ]
    for report in rows("default"):
        lines.append(_line("`default`", "ours", 70, report))
    manifest = read_manifest(find("default"))
    scores = manifest["scores"]
    if "test_lm" in scores:
        closed = scores["test_lm"]["lm_calls_per_task"] == 0
        asked = f"`default`{'' if closed else ' with the embedded LM'}, a random part"
        lines.append(_line(asked, "ours", 70, scores["test_lm"]))
        weightless = not manifest["lesson"]["weight"]
        forced = "`default`, the same part, the LM asked about every request"
        forced += " and not listened to: what asking costs" if weightless else ""
        lines.append(_line(forced, "ours", 70, scores["test_lm_gate_open"]))
    for row in rows("enrichment"):
        if row["writer"] != "large LM":
            name = f"compiled on this data, agents {writer(row)}"
            lines.append(_line(name, "ours", 70, row))
    for report in rows("public"):
        lines.append(_line("compiled on this data", report["data"], report["agents"], report))
    return "\n".join(lines)


def confidence() -> str:
    """Return what the confidence is worth on test."""
    found = [
        row | {"data": row["data"].replace("datasets", "ours")}
        for row in (*rows("default"), *rows("public"))
    ]
    lines = [table(found, _CONFIDENCE)]
    outside = [
        f"{row['data']} ({row['ece']:.3f})"
        for row in found
        if not row["ece_calibrated_range"][0] <= row["ece"] <= row["ece_calibrated_range"][1]
    ]
    if outside:
        lines += ["", f"ECE outside of that range: {'; '.join(outside)}."]
    return "\n".join([*lines, "", _promise()])


def _promise() -> str:
    """Return what the shipped program's threshold lets one promise."""
    promise = read_manifest(find("default"))["calibration"]["promise"]
    kept = "is" if promise["kept"] else "is not"
    return (
        f"*Assigned*: judged to be in scope, and at least as sure as the lowest confidence that reached "
        f"{percent(promise['target'])} precision on validation, which the confidence was fitted on too. That is a point estimate. For "
        f"ours it was {promise['right']} of {promise['n']}, a lower bound of {percent(promise['lower_bound'])} at 95 %: "
        f"{percent(promise['target'])} {kept} promised."
    )


def compiled() -> str:
    """Return how the shipped program was compiled."""
    manifest = read_manifest(find("default"))
    lesson = manifest["lesson"] or {}
    facts = {
        "commit": manifest["commit"],
        "preset": manifest["preset"],
        "embedder": manifest["embedder"]["id"],
        "lm": manifest["lm"],
        "optimizer": manifest["optimizer"],
        "agents enriched": manifest["registry"]["enriched"],
        "LM lesson": lesson,
        "confidence reads": manifest["calibration"]["features"],
        "assign threshold": manifest["calibration"]["promise"],
    }
    return f"```json\n{json.dumps(facts, indent=1)}\n```"


def _line(program: str, data: str, agents: int | str, report: dict[str, Any]) -> str:
    low, high = report["top1_ci95"]
    baseline = percent(report["baseline_bm25_top1"])
    return (
        f"| {program} | {data} | {agents} | {report['n']} | {percent(report['top1'])} "
        f"| {percent(low)} to {percent(high)} | {percent(report['top3'])} "
        f"| {baseline} | {difference(report['versus_bm25'])} | {_lm(report)} | {report['lm_calls_per_task']:.2f} "
        f"| {report['tokens_per_task']:.0f} | {report['latency_ms']['p50']:.0f} |"
    )


def _lm(report: dict[str, Any]) -> str:
    """Return the LM's name without its provider and its files' digests, or none."""
    if not (report["lm"] and report["lm_calls_per_task"]):
        return "none"
    model, *digests = re.split(r"-(?=[0-9a-f]{8}(?:-|$))", str(report["lm"]).split("/")[-1])
    return f"{model}, with its adapter" if len(digests) > 1 else model


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _right_of_all(report: dict[str, Any]) -> str:
    """Return the share of right ones among all assigned, in scope and out."""
    if not report["n_out_of_scope"]:
        return "-"
    assigned = report["decisions"]["assign"]
    all_assigned = assigned + report["decisions_out_of_scope"]["assign"]
    right = (report["precision_assigned"] or 0.0) * assigned  # no precision where none is assigned
    return percent(right / all_assigned) if all_assigned else "-"


_CONFIDENCE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "data": lambda r: r["data"],
    "n": lambda r: r["n"],
    "ECE (range of a calibrated model)": lambda r: (
        f"{r['ece']:.3f} ({r['ece_calibrated_range'][0]:.3f} to {r['ece_calibrated_range'][1]:.3f})"
    ),
    "AUROC, first place right or wrong": lambda r: _number(r["auroc_error"], 2),
    "top-1 on the surest 80 %": lambda r: percent(r["accuracy_at_coverage_80"]),
    "assigned": lambda r: percent(r["decisions"]["assign"] / r["n"]),
    "precision of those (95 %)": lambda r: (
        "-" if r["precision_assigned"] is None else share(r, "precision_assigned")
    ),
    "told that nobody fits": lambda r: f"{r['decisions']['none']} of {r['n']}",
    "out of scope: n": lambda r: r["n_out_of_scope"] or "-",
    "AUROC, in or out of scope": lambda r: _number(r["oos_auroc"], 3),
    "out of scope and assigned": lambda r: (
        r["decisions_out_of_scope"]["assign"] if r["n_out_of_scope"] else "-"
    ),
    "precision of all assigned": _right_of_all,
    "in scope, kept and right, with 90 % out of scope rejected": lambda r: (
        percent(r["oos_90"][0]) if r["oos_90"] else "-"
    ),
}

BLOCKS = {
    "claim": claim,
    "grown": grown,
    "missing": missing,
    "results": results,
    "confidence": confidence,
    "confidence_parts": confidence_parts,
    "scope_parts": scope_parts,
    "retrieval_parts": retrieval_parts,
    "enrichment": enrichment,
    "plans": plans,
    "asking": asking,
    "gate": gate,
    "rubric": rubric,
    "attacks": attacks,
    "languages": languages,
    "compiled": compiled,
    **BOARDS,
    **TUNED_BOARDS,
}


if __name__ == "__main__":
    main()
