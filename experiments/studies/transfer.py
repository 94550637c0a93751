"""What is assigned in registries that the program was not calibrated for?

The shipped program as it is, with ``calibrate="transfer"`` and without an LM. Its confidence for
such registries was fitted on written ones (``datasets/registries.jsonl``); none of the sets here
took part. From each set, registries of 3, 8, 20 and 60 agents are drawn, a dozen of each size,
without samples and with three samples an agent. Each is asked at most 15 test requests for its
agents, eight for agents of the set that were not drawn (*near*), and eight that nobody serves
(*far*: those of clinc150 there, else ours). The precision of everything that is assigned is stated
where a fifth of the requests is for nobody, half of them near.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.support.format import interval, markdown, percent
from experiments.support.sets import SETS, load_set
from optimize.data import Dataset, Request
from optimize.evaluation import metrics
from task_delegator.artifact import load
from task_delegator.decision import Counts
from task_delegator.registry import Agent, Registry

SHARE = 0.2
_SIZES, _SAMPLES = (3, 8, 20, 60), (0, 3)
_DRAWS, _ASKED, _STRANGE = 12, 15, 8
_COUNTED = ("first", "near", "near_assigned", "far", "far_assigned")


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A registry that was drawn, with what it is asked."""

    agents: list[Agent]
    inside: list[Request]
    near: list[str]
    far: list[str]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per set, size and number of samples; quick: validation requests of ours."""
    rows = []
    for name in ("ours",) if quick else SETS:
        dataset = load_set(name)
        split = "validation" if quick else "test"
        far = dataset.out_of_scope[split] or load_set("ours").out_of_scope[split]
        for samples in _SAMPLES:
            if name in ("seal_tools", "copilot") and samples:
                continue  # they have none
            for size in _SIZES[:2] if quick else _SIZES:
                drawn = _draw(dataset, split, size, samples, far)
                found = {"data": name, "agents": size, "samples": samples}
                rows.append(found | _measured(drawn))
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is assigned, and how much of it is right, by size and by set."""
    by_set = [_pooled([r for r in rows if r["data"] == name]) for name in _names(rows)]
    shown = markdown(by_set, {"data": lambda r: r["data"]} | _COLUMNS)
    return f"Every set together:\n\n{by_size(rows)}\n\nEvery size together:\n\n{shown}"


def by_size(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is assigned, and how much of it is right, by size, over all sets."""
    kinds = sorted({(row["agents"], row["samples"]) for row in rows})
    pooled = [_pooled([r for r in rows if (r["agents"], r["samples"]) == kind]) for kind in kinds]
    kind = {"agents": lambda r: r["agents"], "samples each": lambda r: r["samples"]}
    return markdown(pooled, kind | _COLUMNS)


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return the share that is assigned, and the precision, over all."""
    whole = _pooled(rows)
    counts = whole["counts"]
    return f"{percent(_assigned(counts) / counts['n_in'])} of the tasks; {_precision(whole)} right"


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["data"] for row in rows))


def _draw(
    dataset: Dataset, split: str, size: int, samples: int, far: Sequence[str]
) -> Iterator[_Drawn]:
    """Yield registries of agents of a set; some agents of each are asked for."""
    requests = list(dataset.splits[split])
    by_name = {agent.name: agent for agent in dataset.registry}
    asked_for = sorted({request.expected for request in requests})
    others = sorted(by_name.keys() - set(asked_for))
    for number in range(_DRAWS):
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
        yield _Drawn(
            agents,
            rng.sample(inside, min(_ASKED, len(inside))),
            rng.sample(outside, min(_STRANGE, len(outside))),
            rng.sample(list(far), _STRANGE),
        )


def _measured(drawn: Iterator[_Drawn]) -> dict[str, Any]:
    """Return what the shipped program assigns, over all registries that were drawn."""
    counts: dict[str, int] = dict.fromkeys(("n_in", "n_out", "right", "wrong", "out_of_scope"), 0)
    found: dict[str, int] = dict.fromkeys(_COUNTED, 0)
    for registry in drawn:
        program = load("default", Registry(registry.agents), calibrate="transfer")
        for request in registry.inside:
            said = program(request.text)
            first = said.top3[0].name in request.acceptable
            found["first"] += first
            counts["n_in"] += 1
            if said.decision == "assign":
                counts["right" if first else "wrong"] += 1
        for kind, texts in (("near", registry.near), ("far", registry.far)):
            assigned = sum(program(text).decision == "assign" for text in texts)
            found[kind] += len(texts)
            found[f"{kind}_assigned"] += assigned
    counts["n_out"] = found["near"] + found["far"]
    counts["out_of_scope"] = found["near_assigned"] + found["far_assigned"]
    return found | {"counts": counts}


def _pooled(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as one, under the names of the first."""
    whole = {name: sum(row[name] for row in rows) for name in _COUNTED}
    counts = {name: sum(row["counts"][name] for row in rows) for name in rows[0]["counts"]}
    return dict(rows[0]) | whole | {"counts": counts}


def _assigned(counts: dict[str, int]) -> int:
    return counts["right"] + counts["wrong"]


def _right(counts: dict[str, int]) -> str:
    return percent(counts["right"] / _assigned(counts)) if _assigned(counts) else "-"


def _precision(row: dict[str, Any]) -> str:
    counts = Counts(**row["counts"])
    precision, bounds = counts.precision(SHARE), metrics.precision_at_share(counts, SHARE)
    if precision is None or bounds is None:
        return "-"
    return f"{percent(precision)} {interval(bounds)}"


_COLUMNS = {
    "n": lambda r: r["counts"]["n_in"],
    "top-1": lambda r: percent(r["first"] / r["counts"]["n_in"]),
    "assigned": lambda r: percent(_assigned(r["counts"]) / r["counts"]["n_in"]),
    "right of it, in scope": lambda r: _right(r["counts"]),
    "right of all that is assigned [95% CI]": _precision,
    "near assigned": lambda r: f"{r['near_assigned']} of {r['near']}",
    "far assigned": lambda r: f"{r['far_assigned']} of {r['far']}",
}
