"""Does the position in the prompt change an LM's pick?

The answers of ``prompting``: top-1 by the fifth of the shuffled list in which the right agent is
("lost in the middle", about 30 requests each), how often the pick changes with the order alone,
and how often it is the first agent shown. For the program: how often its ranking changes when
agents are registered in another order.
"""

import random
from collections.abc import Sequence
from typing import Any

import dspy
import numpy as np

from experiments.studies.prompting import (
    PromptedAnswers,
    ask,
    choose_requests,
    grade_answers,
    program_over,
)
from experiments.support.costs import per_task
from experiments.support.format import COST, markdown, percent, rate
from experiments.support.llm_answers import PromptedLM, language_models
from experiments.support.terms import term
from optimize.data import Dataset, Request
from optimize.evaluation import metrics
from task_delegator.delegation import Usage
from task_delegator.registry import Registry
from task_delegator.retrieval import IndexCache

_PARTS = 5


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per LM and fifth of the list, one of flips per LM, one for the program."""
    dataset, requests, split = choose_requests(quick)
    lms = language_models(quick)
    rows = [_program(dataset, requests, split, max(lm.shuffles for lm in lms))]
    for lm in lms:
        rows += _rows(lm, dataset, requests, split)
    return rows


def _rows(
    lm: PromptedLM, dataset: Dataset, requests: Sequence[Request], split: str
) -> list[dict[str, Any]]:
    ways = {prompted.name: prompted for prompted in ask(lm, dataset, requests)}
    # In the registry's order, domains stand together: only the shuffled orders tell of places.
    shuffled = ways["all agents, shuffled"]
    pairs = zip(shuffled.requests, shuffled.shown, strict=True)
    places = np.array([names.index(request.expected) / len(names) for request, names in pairs])
    part = (places * _PARTS).astype(int)
    correct, spent = grade_answers(shuffled), _usages(shuffled)
    rows = []
    for number in range(_PARTS):
        what, there = f"right agent in fifth {number + 1} of the list", part == number
        asked = [usage for usage, here in zip(spent, there, strict=True) if here]
        rows.append(_share(lm.label, what, split, correct[there]) | per_task(asked))
    picks = [[a.names[:1] for a in prompted.answers] for prompted in (ways["all agents"], shuffled)]
    changed = np.array([len(set(given)) > 1 for given in zip(*picks, strict=True)])
    both = [_usages(ways["all agents"]), spent]
    cost = {name: sum(per_task(each)[name] for each in both) for name in per_task(spent)}
    rows.append(_share(lm.label, f"pick differs over {len(picks)} orders", split, changed) | cost)
    firsts = {
        "from the first tenth of the registry's list": ways["all agents"],
        "from the first tenth of a shuffled list": shuffled,
        "the first place of the shortlist": ways["shortlist"],
        "the first place of the shortlist with samples": ways["shortlist and samples"],
    }
    return rows + [
        _share_of_early_picks(lm.label, f"picks {what}", split, prompted)
        for what, prompted in firsts.items()
    ]


def _share_of_early_picks(
    lm: str, what: str, split: str, prompted: PromptedAnswers
) -> dict[str, Any]:
    """Return how often the LM picks an agent in the first tenth of the list."""
    early = np.array(
        [
            bool(answer.names) and names.index(answer.names[0]) < len(names) / 10
            for answer, names in zip(prompted.answers, prompted.shown, strict=True)
        ]
    )
    return _share(lm, what, split, early) | per_task(_usages(prompted))


def _usages(prompted: PromptedAnswers) -> list[Usage]:
    """Return the usage of each answer."""
    return [Usage(1, answer.tokens, answer.seconds) for answer in prompted.answers]


def _program(
    dataset: Dataset, requests: Sequence[Request], split: str, shuffles: int
) -> dict[str, Any]:
    program = program_over(dataset)
    picks = []
    for seed in range(shuffles + 1):
        agents = list(dataset.registry)
        if seed:
            random.Random(seed - 1).shuffle(agents)
        shuffled = program.deepcopy()
        shuffled.retrieve.library = IndexCache(Registry(agents), program.retrieve.library.embed)
        with dspy.context(lm=None):
            picks.append([shuffled(r.text).evidence.ranking for r in requests])
    changed = np.array([len(set(given)) > 1 for given in zip(*picks, strict=True)])
    what = f"this program's ranking differs over {len(picks)} orders"
    return _share("none", what, split, changed)


def _share(lm: str, what: str, split: str, picks: np.ndarray) -> dict[str, Any]:
    return {
        "lm": lm,
        "what": what,
        "split": split,
        "n": len(picks),
        "rate": float(picks.mean()) if len(picks) else 0.0,
        "ci95": metrics.wilson(int(picks.sum()), len(picks)),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return position effects by LM."""
    return markdown(
        rows,
        {
            "LM": lambda r: term(r["lm"]),
            "event": lambda r: r["what"],
            "n": lambda r: r["n"],
            "share [95% CI]": lambda r: rate(r | {"rate_ci95": r["ci95"]}, "rate"),
            **{
                title: lambda r, show=show: show(r) if "tokens_per_task" in r else "-"
                for title, show in COST.items()
            },
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return how often picks and rankings change."""
    flips = [row["rate"] for row in rows if row["what"].startswith("pick differs")]
    program = next(row for row in rows if row["lm"] == "none")["rate"]
    low, high = percent(min(flips)), percent(max(flips))
    return f"{low} to {high} of LM picks change; {percent(program)} of this program's rankings"
