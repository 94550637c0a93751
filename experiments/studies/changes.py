"""What is decided when agents have joined?

The shipped program is calibrated on validation requests for nine in ten agents of a set. Then the
others join the registry, with their samples or without any, and nothing is calibrated again. Test
requests for all agents are asked: those for the agents that were there, and those for the new ones.
Beside it stands the program calibrated on all agents. Requests that nobody serves are not asked,
agents do not change otherwise, and no LM is asked.
"""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from experiments.support.format import interval, markdown, percent
from experiments.support.sets import load_set
from experiments.support.subregistries import keep_requests
from optimize.calibration import calibrate
from optimize.data import Dataset, Request
from optimize.evaluation import metrics, select
from task_delegator.artifact import load
from task_delegator.calibration import CalibratedAgents
from task_delegator.delegator import Delegator
from task_delegator.registry import Agent, Registry

_SETS = ("ours", "banking77", "clinc150", "hwu64")
_NEW, _DRAWS = 0.1, 3  # share of the agents; draws of these
_VALIDATION, _TEST = 500, 400  # requests at most
_WHO = "all were there", "new ones have samples", "new ones have none"


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per set and what is new; quick: one draw of ours, validation requests."""
    rows = []
    for name in _SETS[:1] if quick else _SETS:
        dataset = load_set(name)
        asked = select(dataset.splits["validation" if quick else "test"], _TEST, seed=0)
        whole = _calibrated(dataset, list(dataset.registry))
        found: dict[str, dict[str, int]] = {who: {} for who in _WHO}
        for draw in range(1 if quick else _DRAWS):
            agents = sorted(dataset.registry, key=lambda agent: agent.name)
            new = random.Random(draw).sample(agents, int(_NEW * len(agents)))
            for who, counts in zip(_WHO, _decided(whole, dataset, new, asked), strict=True):
                for what, count in counts.items():
                    found[who][what] = found[who].get(what, 0) + count
        rows += [{"data": name, "who": who, **counts} for who, counts in found.items()]
    return rows


def _decided(
    whole: Delegator, dataset: Dataset, new: Sequence[Agent], asked: Sequence[Request]
) -> list[dict[str, int]]:
    """Return what is decided where all agents were there, and in both ways for some to be new.

    Args:
        whole: the program that was calibrated on all agents.
        dataset, new: the agents, and those of them that join.
        asked: requests for all of them.
    """
    names = {agent.name for agent in new}
    found = [_counted(whole, asked, names)]
    program = _calibrated(dataset, [agent for agent in dataset.registry if agent.name not in names])
    for bare in (False, True):
        for agent in new:
            given = {"user_request_samples": ()} if bare else {}
            program.registry.add(agent.model_copy(update=given))
        program.retrieve.library.index(program.retrieve.learned.values).wait()
        found.append(_counted(program, asked, names))
        for agent in new:
            program.registry.remove(agent.name)
    return found


def _calibrated(dataset: Dataset, agents: Sequence[Agent]) -> Delegator:
    """Return the shipped program, calibrated on validation requests for some agents."""
    names = [agent.name for agent in agents]
    validation = select(dataset.splits["validation"], _VALIDATION, seed=0)
    kept = tuple(keep_requests(validation, names).values())
    splits = {**dataset.splits, "validation": kept}
    part = replace(dataset, registry=Registry(agents), splits=splits).without_plans()
    program = load("default", part.registry)
    calibrate(program, part)
    program.calibrated_for = CalibratedAgents(frozenset(agent.reading_digest() for agent in agents))
    return program


def _counted(program: Delegator, asked: Sequence[Request], new: Collection[str]) -> dict[str, int]:
    """Return how many requests there are for agents of before and for new ones, and decisions."""
    counts = {
        f"{group}_{what}": 0 for group in ("old", "new") for what in ("n", "assigned", "right")
    }
    for request, said in zip(asked, program.delegate_many([r.text for r in asked]), strict=True):
        group = "new" if request.expected in new else "old"
        counts[f"{group}_n"] += 1
        if said.decision == "assign":
            counts[f"{group}_assigned"] += 1
            counts[f"{group}_right"] += said.top3[0].name in request.acceptable
    return counts


def _assigned(group: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: percent(row[f"{group}_assigned"] / row[f"{group}_n"])


def _precision(row: dict[str, Any]) -> str:
    """Return what is right of all that is assigned, with its interval."""
    assigned = row["old_assigned"] + row["new_assigned"]
    right = row["old_right"] + row["new_right"]
    if not assigned:
        return "-"
    return f"{percent(right / assigned)} {interval(metrics.wilson(right, assigned))}"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is assigned, and how much of it is right, by set and what is new."""
    return markdown(
        rows,
        {
            "data": lambda r: r["data"],
            "agents": lambda r: r["who"],
            "requests for agents of before": lambda r: r["old_n"],
            "assigned": _assigned("old"),
            "requests for the tenth": lambda r: r["new_n"],
            "assigned of these": _assigned("new"),
            "wrongly": lambda r: r["new_assigned"] - r["new_right"],
            "right of what is assigned, in scope [95% CI]": _precision,
        },
    )


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is assigned for agents of before, and what is right, over all sets."""

    def total(who: str) -> dict[str, int]:
        some = [row for row in rows if row["who"] == who]
        counts = (what for what in some[0] if what not in ("data", "who"))
        return {what: sum(row[what] for row in some) for what in counts}

    before, joined = total(_WHO[0]), total(_WHO[1])
    return (
        f"Of the others' requests {_assigned('old')(joined)} are assigned, "
        f"{_assigned('old')(before)} where none joined"
    )
