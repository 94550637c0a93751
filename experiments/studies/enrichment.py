"""What does enriching the agents' entries add?

The same compilation (search, calibration, no LM) for the agents as written and with
``datasets/enrichment.json``, written offline by a large LM; paired on the same test requests. That
LM is of the family that wrote agents and requests, which flatters enrichment (data card).
"""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.support.format import difference, markdown, percent, rate
from experiments.support.quick import shrink
from experiments.support.reports import TRUST
from optimize.config import Options
from optimize.data import OURS, load_dataset
from optimize.evaluation import delegate_all, evaluate, grade_outcomes, metrics
from optimize.pipeline import compile_program
from task_delegator.registry import FILE
from task_delegator.system import read_json

_SOURCES = {
    "as it is": None,
    "large LM": OURS / FILE,
}
WRITERS = {"as it is": "as written", "large LM": "enriched by a large LM"}  # as shown


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per writer; quick: 3 trials, 40 requests of each split, no test."""
    rows: list[dict[str, Any]] = []
    baseline = None
    for writer, source in _SOURCES.items():
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "ours"
            shutil.copytree(OURS, data, ignore=shutil.ignore_patterns(FILE, "*.md"))
            samples = 0
            if source is not None:
                shutil.copy(source, data / FILE)
                additions = read_json(source)["agents"].values()
                samples = sum(len(a["user_request_samples"]) for a in additions)
            dataset = load_dataset(data).without_plans()
            dataset = shrink(dataset) if quick else dataset
            options = Options(
                out=Path(folder) / "program", preset="full", trials=3 if quick else None
            )
            program = compile_program(dataset, options, lm=None).program
            split = "validation" if quick else "test"
            correct = grade_outcomes(delegate_all(program, dataset.splits[split], writer))
            report = evaluate(program, dataset, split, name=writer).to_dict()
            del report["commit"]  # the result file names it
        baseline = correct if baseline is None else baseline
        rows.append(
            {
                "writer": writer,
                "samples_added": samples,
                **{**report, "data": "ours", "program": writer},
                "versus_as_it_is": asdict(metrics.compare(correct, baseline)),
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the compiled programs over the agents as written and enriched."""
    return markdown(
        [row for row in rows if row["writer"] in WRITERS],
        {
            "agents": lambda r: WRITERS[r["writer"]],
            "samples added": lambda r: r["samples_added"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "BM25 top-1": lambda r: percent(r["baseline_bm25_top1"]),
            "difference to as written, points": lambda r: difference(r["versus_as_it_is"]),
            **TRUST,
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return what enrichment adds."""
    gained = next(row for row in rows if row["writer"] == "large LM")["versus_as_it_is"]
    return f"{difference(gained)}, in points of top-1"
