"""What happens to requests in languages that the embedder does not know?

The 40 translated test requests beside their English sources: are they told, how often is the
right agent first, what confidence is stated, what is decided. And how many English requests are
taken for foreign ones, over train and validation of ours and of the public sets.
"""

from typing import Any

import numpy as np

from experiments.studies.public import ROOT
from optimize import metrics
from optimize.data import OURS, Request, load_dataset
from optimize.evaluate import delegate_all, outcomes_right
from task_delegator.agents import read_json
from task_delegator.artifact import load
from task_delegator.languages import foreign_language

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
        ("translated", delegate_all(program, dataset.foreign[split], "translations")),
    ):
        right = outcomes_right(outcomes)
        stated = np.array([outcome.delegation.confidence for outcome in outcomes])
        decisions = [outcome.delegation.decision for outcome in outcomes]
        told = sum(outcome.delegation.evidence["language"] is not None for outcome in outcomes)
        found.append(
            {
                "requests": name,
                "split": split,
                "n": len(right),
                "told": told,
                "top1": float(right.mean()),
                "top1_ci95": metrics.wilson(int(right.sum()), len(right)),
                "confidence": float(stated.mean()),
                "brier": metrics.brier(stated, right),
                "decisions": {d: decisions.count(d) for d in ("assign", "review", "none")},
            }
        )
    for name in ("ours", *(() if quick else _ENGLISH)):
        folder = OURS if name == "ours" else ROOT / name
        splits = load_dataset(folder).splits
        texts = [r.text for part in ("train", "validation") for r in splits[part]]
        told = sum(foreign_language(text, {"en"}) is not None for text in texts)
        found.append({"requests": f"English, {name}", "n": len(texts), "told": told})
    return found
