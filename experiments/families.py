"""Which agents are taken for which? The program on our test split, no LM, by domain.

Agents of a domain differ by scope; errors that stay within it are errors between look-alikes.
"""

from collections import Counter
from typing import Any

import dspy
import numpy as np

from optimize import metrics
from optimize.data import OURS, load_dataset
from optimize.evaluate import delegate_all
from task_delegator.artifact import load


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per domain, the hardest first; quick looks at validation."""
    dataset = load_dataset(OURS)
    split = "validation" if quick else "test"
    program = load("default", dataset.registry)
    with dspy.context(lm=None):
        outcomes = delegate_all(program, dataset.splits[split], split)
    domain = {agent.name: agent.domain for agent in dataset.registry}
    rows = []
    for family in sorted(set(domain.values())):
        own = [o for o in outcomes if domain[o.request.expected] == family]
        right = np.array([o.right for o in own])
        wrong = [(o.request.expected, o.ranking[0]) for o in own if not o.right]
        rows.append(
            {
                "domain": family,
                "split": split,
                "n": len(own),
                "top1": float(right.mean()),
                "top1_ci95": metrics.wilson(int(right.sum()), len(right)),
                "errors": len(wrong),
                "errors_within_domain": sum(domain[given] == family for _, given in wrong),
                "confused": [[*pair, n] for pair, n in Counter(wrong).most_common()],
            }
        )
    return sorted(rows, key=lambda row: row["top1"])
