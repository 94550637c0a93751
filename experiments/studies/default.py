"""How accurate is the shipped program, against BM25 on the same requests?

Test split, no LM. BM25 reads the same texts, at the setting of 20 that is best on validation. The
precision of assigned requests depends on the share of requests that are out of scope.
"""

from typing import Any

from experiments.support.format import markdown, percent, points, sections
from experiments.support.quick import shrink
from experiments.support.reports import ACCURACY, TRUST
from optimize.data import OURS, load_dataset
from optimize.evaluation import evaluate
from task_delegator.artifact import load


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one report; quick looks at 40 validation requests."""
    dataset = load_dataset(OURS)
    dataset = shrink(dataset) if quick else dataset
    program = load("default", dataset.registry)
    split = "validation" if quick else "test"
    return [evaluate(program, dataset, split, name="default").to_dict()]


def table(rows: list[dict[str, Any]]) -> str:
    """Return accuracy and the quality of the confidence."""
    return sections({"Accuracy": markdown(rows, ACCURACY), "Confidence": markdown(rows, TRUST)})


def answer(rows: list[dict[str, Any]]) -> str:
    """Return accuracy and the difference to BM25."""
    [report] = rows
    ahead = points(report["versus_bm25"]["difference"])
    return f"{percent(report['top1'])} top-1, {ahead} points over BM25"
