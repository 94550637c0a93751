"""What happens to requests in languages that the embedder does not support?

Forty translated test requests beside their English sources, and the false alarms of language
detection on English requests (train and validation of ours and of the public sets).
"""

from typing import Any

import numpy as np

from experiments.support.format import markdown, percent
from experiments.support.public_data import load_public
from optimize.data import OURS, Request, load_dataset
from optimize.evaluation import delegate_all, grade_outcomes, metrics
from task_delegator.artifact import load
from task_delegator.languages import foreign_language
from task_delegator.system import read_json

_ENGLISH = ("banking77", "clinc150", "hwu64")


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per set of requests; quick takes the validation split and ours alone."""
    dataset = load_dataset(OURS)
    program = load("default", dataset.registry)
    split = "validation" if quick else "test"
    rows = [r for r in read_json(OURS / "languages.json") if r["split"] == split]
    sources = [Request(row["source"], (row["expected_agent_name"],)) for row in rows]
    english = delegate_all(program, sources, "sources")
    found = []
    for name, outcomes in (
        ("English sources", english),
        ("translated", delegate_all(program, dataset.other_languages[split], "translations")),
    ):
        correct = grade_outcomes(outcomes)
        stated = np.array([outcome.confidence for outcome in outcomes])
        decisions = [outcome.delegation.decision for outcome in outcomes]
        told = sum(outcome.delegation.evidence.language is not None for outcome in outcomes)
        found.append(
            {
                "requests": name,
                "split": split,
                "n": len(correct),
                "told": told,
                "top1": float(correct.mean()),
                "top1_ci95": metrics.wilson(int(correct.sum()), len(correct)),
                "confidence": float(stated.mean()),
                "brier": metrics.brier(stated, correct),
                "decisions": {d: decisions.count(d) for d in ("assign", "review", "none")},
            }
        )
    for name in ("ours", *(() if quick else _ENGLISH)):
        splits = (dataset if name == "ours" else load_public(name)).splits
        texts = [r.text for part in ("train", "validation") for r in splits[part]]
        told = sum(foreign_language(text, {"en"}) is not None for text in texts)
        found.append({"requests": f"English, {name}", "n": len(texts), "told": told})
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Return detection, accuracy and decisions by set of requests."""
    return markdown(
        rows,
        {
            "requests": lambda r: r["requests"],
            "n": lambda r: r["n"],
            "flagged as unsupported": lambda r: r["told"],
            "top-1": lambda r: percent(r["top1"]) if "top1" in r else "-",
            "mean confidence": lambda r: percent(r["confidence"]) if "confidence" in r else "-",
            "assign / review / none": lambda r: (
                " / ".join(str(r["decisions"][d]) for d in ("assign", "review", "none"))
                if "decisions" in r
                else "-"
            ),
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return how many translations are flagged, and how many English requests are by mistake."""
    translated = next(row for row in rows if row["requests"] == "translated")
    english = [row for row in rows if row["requests"].startswith("English, ")]
    alarms, n = (sum(row[key] for row in english) for key in ("told", "n"))
    return f"{translated['told']} of {translated['n']} flagged; {alarms} false alarm in {n:,}"
