"""How often are negations, names of agents and several things at once read right?

The 120 tasks of ``datasets/probes/wordings.json``, over our agents, clinc150 and 639 published
coding agents and skills, by the shipped program as it is: nothing is fitted to the two public
registries. A task with a negation or a name is right where an acceptable agent comes first; a
compound where the steps of its plan go to one acceptable agent for each thing that is asked for,
and to nobody else. The rules were written on the half to develop on; the other half was measured
after every rule was final. The recorded large LM is of the writers' family; it was asked to split
the compounds, and about each part that it made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dspy
from tqdm import tqdm

from experiments.support.format import markdown, rate
from experiments.support.public_data import ROOT
from optimize.data import OURS
from optimize.evaluation import metrics
from optimize.recorded import language_model
from task_delegator.artifact import load
from task_delegator.delegator import Delegator
from task_delegator.system import read_json

FILE = OURS / "probes" / "wordings.json"
_RECORDED = "recorded:experiments/answers/wordings"  # as the result names it, in any checkout
_KINDS = ("negation", "name", "compound")
_AGENTS = {
    "ours": OURS / "agents.json",
    "clinc150": ROOT / "clinc150" / "agents.json",
    "copilot": ROOT / "cards" / "copilot" / "agents.json",
}
# With an LM: it is asked about every task, is believed as much as retrieval, and splits.
_ASKED = {"lm.ask_settled": True, "lm.shortlist": 8, "lm.weight": 1.0, "split.use_lm": True}


@dataclass(frozen=True, slots=True)
class Answer:
    """A task of the file, whether its answer is right, and the number of its steps is."""

    task: dict[str, Any]
    right: bool
    split: bool


def run(quick: bool, lm: str | None = None) -> list[dict[str, Any]]:
    """Return a row per kind, half and wording; quick: the half to develop on, ours alone.

    Args:
        quick: small, on no data to measure on.
        lm: the spec of an LM to ask, such as ``recorded:<folder>``; None for none and, not quick,
            the recorded one too.
    """
    if not quick and lm is None:
        return [*_rows(quick, None), *_rows(quick, _RECORDED)]
    return _rows(quick, lm)


def _rows(quick: bool, lm: str | None) -> list[dict[str, Any]]:
    answers = []
    for name, agents in _AGENTS.items():
        tasks = [row for row in read_json(FILE) if row["registry"] == name]
        if quick:
            tasks = [row for row in tasks if row["half"] == "develop" and name == "ours"]
        if tasks:
            program = load("default", agents, allow_uncalibrated=True, on_lm_failure="raise")
            if lm is not None:
                program.knobs.set(_ASKED)
            with dspy.context(lm=None if lm is None else language_model(lm)):
                answers += [_answer(program, row) for row in tqdm(tasks, desc=name, delay=3)]
    return list(_summary(answers, "none" if lm is None else "recorded"))


def _answer(program: Delegator, row: dict[str, Any]) -> Answer:
    expected = row["expected"]
    if row["kind"] != "compound":
        first = program(row["task"]).top3[0].name
        return Answer(row, first in expected[0], split=True)
    steps = [step.delegation.top3[0].name for step in program.plan(row["task"]).steps]
    return Answer(row, _fit(steps, expected), (len(steps) > 1) == (len(expected) > 1))


def _fit(steps: Sequence[str], expected: Sequence[Sequence[str]]) -> bool:
    """Tell whether each step goes to an agent for another thing that is asked for, all of them."""
    wanted = list(expected)
    for agent in steps:
        own = next((names for names in wanted if agent in names), None)
        if own is None:
            return False
        wanted.remove(own)
    return not wanted


def _summary(answers: Sequence[Answer], lm: str) -> Iterator[dict[str, Any]]:
    for half in ("develop", "measure"):
        for kind in _KINDS:
            for wording in ("all", "plain", "trap"):
                chosen = [
                    answer
                    for answer in answers
                    if answer.task["half"] == half
                    and answer.task["kind"] == kind
                    and wording in ("all", "trap" if answer.task["trap"] else "plain")
                ]
                if not chosen:
                    continue
                right = sum(answer.right for answer in chosen)
                yield {
                    "kind": kind,
                    "half": half,
                    "wording": wording,
                    "lm": lm,
                    "n": len(chosen),
                    "right": right / len(chosen),
                    "right_ci95": metrics.wilson(right, len(chosen)),
                    "split_right": sum(answer.split for answer in chosen) / len(chosen),
                    "wrong": [answer.task["task"] for answer in chosen if not answer.right],
                }


def table(rows: list[dict[str, Any]]) -> str:
    """Return how many tasks of each kind are right, by half and wording."""
    return markdown(
        rows,
        {
            "kind": lambda r: r["kind"],
            "half": lambda r: r["half"],
            "LM": lambda r: r["lm"],
            "wording": lambda r: r["wording"],
            "n": lambda r: r["n"],
            "right [95% CI]": lambda r: rate(r, "right"),
            "number of things right": lambda r: (
                f"{r['split_right']:.0%}" if r["kind"] == "compound" else "-"
            ),
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the share of right tasks of each kind, on the half to measure."""
    shown = [row for row in rows if row["half"] == "measure"]
    shown = [row for row in shown if row["wording"] == "all" and row["lm"] == "none"]
    return ", ".join(f"{row['kind']} {row['right']:.0%} of {row['n']}" for row in shown)
