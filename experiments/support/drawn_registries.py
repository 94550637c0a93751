"""Registries that are drawn from a data set, what they are asked, and what is assigned of it.

Requests for agents that were not drawn are *near*, those that nobody serves are *far*. What is
right of everything that is assigned is stated where a fifth of the requests is for nobody, half of
them near.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.support.format import interval, markdown, percent
from optimize.data import Dataset, Request
from optimize.evaluation import metrics
from task_delegator.decision import Counts
from task_delegator.delegation import Delegation
from task_delegator.registry import Agent

SHARE = 0.2
_ASKED, _STRANGE = 15, 8
COUNTED = (
    "first", "asked", "in_none", "near", "near_assigned", "near_asked", "near_none", "far",
    "far_assigned", "far_asked", "far_none",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """A registry that was drawn, with what it is asked.

    Attributes:
        agents: of it.
        inside: requests for these agents.
        near, far: texts of requests for others, and for nobody.
    """

    agents: list[Agent]
    inside: list[Request]
    near: list[str]
    far: list[str]

    @property
    def texts(self) -> list[str]:
        """Return every text that is asked, those inside first."""
        return [*(request.text for request in self.inside), *self.near, *self.far]

    def count(self, said: Sequence[Delegation]) -> dict[str, Any]:
        """Return what is found of the texts, in their order."""
        counts = dict.fromkeys(("n_in", "n_out", "right", "wrong", "out_of_scope"), 0)
        found: dict[str, int] = dict.fromkeys(COUNTED, 0)
        answers = iter(said)
        for request, one in zip(self.inside, answers, strict=False):
            first = one.top3[0].name in request.acceptable
            found["first"] += first
            found["asked"] += one.evidence.lm is not None
            found["in_none"] += one.decision == "none"
            counts["n_in"] += 1
            if one.decision == "assign":
                counts["right" if first else "wrong"] += 1
        for kind, texts in (("near", self.near), ("far", self.far)):
            for _, one in zip(texts, answers, strict=False):
                found[kind] += 1
                found[f"{kind}_assigned"] += one.decision == "assign"
                found[f"{kind}_asked"] += one.evidence.lm is not None
                found[f"{kind}_none"] += one.decision == "none"
        counts["n_out"] = found["near"] + found["far"]
        counts["out_of_scope"] = found["near_assigned"] + found["far_assigned"]
        return found | {"counts": counts}


def draw(
    dataset: Dataset, split: str, size: int, samples: int, far: Sequence[str], draws: int
) -> Iterator[Drawn]:
    """Yield registries of agents of a set; some agents of each are asked for.

    Args:
        dataset, split: where agents and requests are from.
        size: agents of a registry, fewer where the set has too few that are asked for.
        samples: of each agent at most.
        far: requests that nobody serves.
        draws: how many registries.
    """
    requests = list(dataset.splits[split])
    by_name = {agent.name: agent for agent in dataset.registry}
    asked_for = sorted({request.expected for request in requests})
    others = sorted(by_name.keys() - set(asked_for))
    for number in range(draws):
        rng = random.Random(f"{dataset.path.name} {size} {number}")
        names = rng.sample(asked_for, min(size, len(asked_for) - 2))
        names += rng.sample(others, min(size - len(names), len(others)))
        agents = [
            by_name[name].model_copy(
                update={"user_request_samples": by_name[name].user_request_samples[:samples]}
            )
            for name in names
        ]
        here = set(names)
        inside = [r for r in requests if r.expected in here]
        outside = [r.text for r in requests if here.isdisjoint(r.acceptable)]
        yield Drawn(
            agents,
            rng.sample(inside, min(_ASKED, len(inside))),
            rng.sample(outside, min(_STRANGE, len(outside))),
            rng.sample(list(far), min(_STRANGE, len(far))),
        )


def total(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as one, under the names of the first."""
    rows = list(rows)
    whole = {name: sum(row[name] for row in rows) for name in COUNTED}
    counts = {name: sum(row["counts"][name] for row in rows) for name in rows[0]["counts"]}
    return dict(rows[0]) | whole | {"counts": counts}


def by_size(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is assigned, and how much of it is right, by size, over all sets."""
    kinds = sorted({(row["agents"], row["samples"]) for row in rows})
    pooled = [total(r for r in rows if (r["agents"], r["samples"]) == kind) for kind in kinds]
    kind = {"agents": lambda r: r["agents"], "samples each": lambda r: r["samples"]}
    return markdown(pooled, kind | COLUMNS)


def assigned_share(row: dict[str, Any]) -> float:
    """Return the share of the requests in scope that is assigned."""
    counts = row["counts"]
    return (counts["right"] + counts["wrong"]) / counts["n_in"]


def precision(row: dict[str, Any]) -> str:
    """Return what is right of everything that is assigned, with its interval."""
    counts = Counts(**row["counts"])
    found, bounds = counts.precision(SHARE), metrics.precision_at_share(counts, SHARE)
    if found is None or bounds is None:
        return "-"
    return f"{percent(found)} {interval(bounds)}"


def _right(counts: dict[str, int]) -> str:
    assigned = counts["right"] + counts["wrong"]
    return percent(counts["right"] / assigned) if assigned else "-"


def _told_none(row: dict[str, Any]) -> str:
    totals = row["counts"]["n_in"], row["near"], row["far"]
    told = row["in_none"], row["near_none"], row["far_none"]
    return ", ".join(percent(some / n) if n else "-" for some, n in zip(told, totals, strict=True))


COLUMNS = {
    "n": lambda r: r["counts"]["n_in"],
    "top-1": lambda r: percent(r["first"] / r["counts"]["n_in"]),
    "assigned": lambda r: percent(assigned_share(r)),
    "right of it, in scope": lambda r: _right(r["counts"]),
    "right of all that is assigned [95% CI]": precision,
    "near assigned": lambda r: f"{r['near_assigned']} of {r['near']}",
    "far assigned": lambda r: f"{r['far_assigned']} of {r['far']}",
    "told `none`: in scope, near, far": _told_none,
}
