"""Write the tables of README.md and experiments/README.md from result files.

``python -m experiments.tables`` rewrites what stands between the markers; a test fails
where the documents and the results differ.
"""

import json
from pathlib import Path
from typing import Any

from experiments.results import latest
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


def claim() -> str:
    """Return the best honest number in a sentence."""
    report = _rows("default")[0]
    low, high = report["top1_ci95"]
    versus = report["versus_bm25"]
    return (
        f"On {report['n']} held-out requests for 70 look-alike agents it names the right one first in "
        f"**{_percent(report['top1'])}** (95 % interval {_percent(low)} to {_percent(high)}) and among the "
        f"first three in **{_percent(report['top3'])}**, without asking a language model, in "
        f"{report['latency_ms']['p50']:.0f} ms (median, 2 cores). BM25 over the same texts: "
        f"{_percent(report['baseline_bm25_top1'])} (paired difference {_points(versus['difference'])} points, "
        f"{_points(versus['ci95'][0])} to {_points(versus['ci95'][1])}, p = {versus['p']:.1g})."
    )


def results() -> str:
    """Return the table of results: what, on which data, n, interval, LM, cost."""
    lines = [
        "| program | data (test split) | agents | n | top-1 | 95 % | top-3 | BM25 top-1 | LM calls per task |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for report in _rows("default"):
        lines.append(_line("`default`", "ours", 70, report))
    scores = read_manifest(find("default"))["scores"]
    if "test_lm" in scores:
        lines.append(_line("`default` + embedded LM", "ours", 70, scores["test_lm"]))
        opened = scores["test_lm_gate_open"]
        lines.append(_line("`default` + embedded LM, gate forced open", "ours", 70, opened))
    agents = {"banking77": 77, "clinc150": 150, "hwu64": 64}
    for report in _rows("public"):
        name = report["data"]
        lines.append(_line("compiled for it", f"{name}, 10 samples", agents[name], report))
    return "\n".join(lines)


def confidence() -> str:
    """Return what the confidence is worth on test."""
    lines = [
        "| data | ECE (range of a calibrated model) | AUROC of error | accuracy on the surest 80 % "
        "| assigned | right of those | out of scope: AUROC | out of scope, assigned |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for report in (*_rows("default"), *_rows("public")):
        low, high = report["ece_calibrated_range"]
        assigned = report["decisions"]["assign"]
        right = report["precision_assigned"]
        strangers = report["oos_auroc"]
        lines.append(
            f"| {report['data'].replace('datasets', 'ours')} | {report['ece']:.3f} ({low:.3f} to {high:.3f}) "
            f"| {report['auroc_error']:.2f} | {_percent(report['accuracy_at_coverage_80'])} "
            f"| {_percent(assigned / report['n'])} | {_percent(right) if right is not None else '-'} "
            f"| {f'{strangers:.3f}' if strangers is not None else '-'} | {_strangers_assigned(report)} |"
        )
    return "\n".join(lines)


def hardness() -> str:
    """Return the table of what untuned systems make of the ground truth."""
    lines = ["| split | system | n | top-1 | 95 % | top-3 |", "|---|---|---|---|---|---|"]
    for row in _rows("hardness"):
        low, high = row["top1_ci95"]
        lines.append(
            f"| {row['split']} | {row['system']} | {row['n']} | {_percent(row['top1'])} "
            f"| {_percent(low)} to {_percent(high)} | {_percent(row['top3'])} |"
        )
    return "\n".join(lines)


def channels() -> str:
    """Return what each channel adds, on validation."""
    lines = [
        "| data | channels | n | top-1 | top-3 | top-1 against all, points | p |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in _rows("channels"):
        versus = row["versus_all"]
        low, high = versus["ci95"]
        lines.append(
            f"| {row['data'].replace('datasets', 'ours')} | {row['channels']} | {row['n']} | {_percent(row['top1'])} "
            f"| {_percent(row['top3'])} | {_points(versus['difference'])} ({_points(low)} to {_points(high)}) "
            f"| {versus['p']:.2g} |"
        )
    return "\n".join(lines)


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
        "LM lesson": {
            key: lesson.get(key) for key in ("calls", "asked", "gains", "demos", "weight")
        },
        "assign threshold": manifest["promise"],
    }
    return f"```json\n{json.dumps(facts, indent=1)}\n```"


def _line(program: str, data: str, agents: int, report: dict[str, Any]) -> str:
    low, high = report["top1_ci95"]
    # With an LM the requests, and so the baseline, are those of the row above.
    baseline = "as above" if report["lm"] else _percent(report["baseline_bm25_top1"])
    return (
        f"| {program} | {data} | {agents} | {report['n']} | {_percent(report['top1'])} "
        f"| {_percent(low)} to {_percent(high)} | {_percent(report['top3'])} "
        f"| {baseline} | {report['lm_calls_per_task']:.2f} |"
    )


def _strangers_assigned(report: dict[str, Any]) -> str:
    n = report["n_out_of_scope"]
    return f"{report['decisions_out_of_scope']['assign']} of {n}" if n else "-"


def _rows(name: str) -> list[dict[str, Any]]:
    result = latest(name)
    return result["rows"] if result else []


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f}"


BLOCKS = {
    "claim": claim,
    "results": results,
    "confidence": confidence,
    "hardness": hardness,
    "channels": channels,
    "compiled": compiled,
}


if __name__ == "__main__":
    main()
