"""How accurate is an LM that picks the agent from its prompt?

Repeats Interloom's "Agentic Task Delegation" on our data: all 70 agents in the prompt with
structured output, five other orders (each request sees one), the program's shortlist of five, and
the shortlist with samples. The program and both LMs answer the same 150 test requests over the
agents as written. The embedded LM runs without its adapter; the second is
Qwen2.5-Coder-1.5B-Instruct (Q4_K_M). Answers are kept in ``answers/``. Seconds are of one thread
and include reading a new list of agents once; the prefix cache serves repeated lists, so they do
not compare across prompts. The last column is the other project's (another LM and data).
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import dspy
import numpy as np
from tqdm import tqdm

from experiments.support.format import difference, markdown, percent, points, rate
from experiments.support.llm_answers import Answer, PromptedLM, language_models
from experiments.support.subregistries import keep_requests
from experiments.support.terms import term
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluation import Outcome, delegate_all, grade_outcomes, metrics, select
from task_delegator.artifact import load
from task_delegator.delegator import Delegator
from task_delegator.registry import Agent, Registry

REQUESTS, PLACES = 150, 5


@dataclass(frozen=True, slots=True)
class PromptedAnswers:
    """The answers of an LM to prompts that list agents in one way.

    Attributes:
        requests: that the prompts hold.
        answers: to the requests.
        shown: per request the agents' names in the order of the prompt.
        orders: how many orders of the agents were shown.
    """

    name: str
    requests: tuple[Request, ...]
    answers: tuple[Answer, ...]
    shown: tuple[tuple[str, ...], ...]
    orders: int = 1


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per LM and way, and two for the program; quick: 3 validation requests."""
    dataset, requests, split = choose_requests(quick)
    outcomes = _delegate_without_lm(dataset, requests)
    completed = _delegate_without_lm(choose_requests(quick, enriched=True)[0], requests)
    rows = [
        _program("this program", split, outcomes),
        _program("this program, agents completed", split, completed),
    ]
    program = grade_outcomes(outcomes)
    for lm in language_models(quick):
        ways = list(ask(lm, dataset, requests))
        correct = {prompted.name: grade_answers(prompted) for prompted in ways}
        for prompted in ways:
            row = _row(lm.label, split, prompted, dataset.registry) | {
                "versus_all_agents": asdict(
                    metrics.compare(correct[prompted.name], correct["all agents"])
                ),
                "program_versus": asdict(metrics.compare(program, correct[prompted.name])),
            }
            if prompted.name == "shortlist and samples":
                versus = metrics.compare(correct[prompted.name], correct["shortlist"])
                row["versus_shortlist"] = asdict(versus)
            if prompted.name.startswith("shortlist"):
                row |= _by_place(prompted, correct[prompted.name])
            rows.append(row)
    return rows


def choose_requests(quick: bool, enriched: bool = False) -> tuple[Dataset, list[Request], str]:
    """Return the dataset, the fixed requests and their split.

    Quick: the first eight agents alone, which an LM reads in seconds instead of minutes.
    """
    dataset = load_dataset(OURS, enriched=enriched)
    if not quick:
        return dataset, select(dataset.splits["test"], REQUESTS, seed=0), "test"
    few = Registry(list(dataset.registry)[:8])
    requests = keep_requests(dataset.splits["validation"], [agent.name for agent in few])
    return replace(dataset, registry=few), select(list(requests.values()), 3, seed=0), "validation"


def ask(lm: PromptedLM, dataset: Dataset, requests: Sequence[Request]) -> Iterator[PromptedAnswers]:
    """Ask in every way; of the shuffled orders each request sees one, in turn."""
    agents = list(dataset.registry)
    orders = []
    for seed in range(lm.shuffles):
        orders.append(agents.copy())
        random.Random(seed).shuffle(orders[-1])
    yield _all_agents(lm, "all agents", [agents], requests)
    program = program_over(dataset)
    shortlists = [_shortlist(program, request.text) for request in requests]
    for name, samples in (("shortlist", False), ("shortlist and samples", True)):
        bar = tqdm(zip(requests, shortlists, strict=True), desc=f"{lm.label}, {name}", delay=3)
        answers = tuple(lm(request.text, shown, samples) for request, shown in bar)
        yield PromptedAnswers(
            name, tuple(requests), answers, tuple(_names(shown) for shown in shortlists)
        )
    yield _all_agents(lm, "all agents, shuffled", orders, requests)


def program_over(dataset: Dataset) -> Delegator:
    """Return the shipped program over the dataset's agents, with a shortlist of five."""
    program = load("default", dataset.registry, allow_uncalibrated=True)
    program.knobs.set({"retrieval.k": PLACES, "lm.shortlist": PLACES, "lm.card": "brief"})
    return program


def _all_agents(
    lm: PromptedLM, name: str, orders: Sequence[list[Agent]], requests: Sequence[Request]
) -> PromptedAnswers:
    """Ask about every request in one order, those of the same order in a row."""
    answers = dict[int, Answer]()
    for number, agents in enumerate(orders):
        own = range(number, len(requests), len(orders))
        for place in tqdm(own, desc=f"{lm.label}, {name} {number}", delay=3):
            answers[place] = lm(requests[place].text, agents)
    given = tuple(answers[place] for place in range(len(requests)))
    shown = tuple(_names(orders[place % len(orders)]) for place in range(len(requests)))
    return PromptedAnswers(name, tuple(requests), given, shown, len(orders))


def _shortlist(program: Delegator, task: str) -> list[Agent]:
    with dspy.context(lm=None):
        ranking = program(task).evidence.ranking
    return [program.registry[name] for name in ranking[:PLACES]]


def _names(agents: Sequence[Agent]) -> tuple[str, ...]:
    return tuple(agent.name for agent in agents)


def grade_answers(prompted: PromptedAnswers, within: int = 1) -> np.ndarray:
    """Return whether an acceptable agent is among the first names of each answer.

    Args:
        prompted: answers to n requests.
        within: number of names to look at.

    Returns:
        Shape (n,), bool.
    """
    return np.array(
        [
            any(name in request.acceptable for name in answer.names[:within])
            for request, answer in zip(prompted.requests, prompted.answers, strict=True)
        ]
    )


def _by_place(prompted: PromptedAnswers, correct: np.ndarray) -> dict[str, Any]:
    """Return the LM's accuracy where an acceptable agent is listed first, and where later."""
    places = np.array(
        [
            next((place for place, name in enumerate(names) if name in request.acceptable), -1)
            for request, names in zip(prompted.requests, prompted.shown, strict=True)
        ]
    )
    parts = {"right_listed_first": places == 0, "right_listed_later": places > 0}
    return {
        name: {"n": int(part.sum()), "right": int(correct[part].sum())}
        for name, part in parts.items()
    }


def _row(lm: str, split: str, prompted: PromptedAnswers, registry: Registry) -> dict[str, Any]:
    correct, third = grade_answers(prompted), grade_answers(prompted, 3)
    answers = prompted.answers
    domains = [
        (registry[name].domain, registry[request.expected].domain)
        for request, answer in zip(prompted.requests, answers, strict=True)
        for name in answer.names[:1]
    ]
    named = Counter(answer.names[0] for answer in answers if answer.names)
    shown = [
        any(name in request.acceptable for name in names)
        for request, names in zip(prompted.requests, prompted.shown, strict=True)
    ]
    return {
        "lm": lm,
        "way": prompted.name,
        "split": split,
        "n": len(correct),
        "orders": prompted.orders,
        "top1": float(correct.mean()),
        "top1_ci95": metrics.wilson(int(correct.sum()), len(correct)),
        "top3": float(third.mean()),
        "right_agent_shown": float(np.mean(shown)),
        "right_domain": sum(picked == expected for picked, expected in domains) / len(answers),
        "named_most": max(named.values(), default=0) / len(answers),
        "unreadable": sum(not answer.names for answer in answers),
        "repeats": float(np.mean([len(set(a.names)) < len(a.names) for a in answers])),
        "tokens_per_task": float(np.mean([answer.tokens for answer in answers])),
        "seconds_per_task": float(np.mean([answer.seconds for answer in answers])),
        "lm_calls_per_task": 1.0,
    }


def _delegate_without_lm(dataset: Dataset, requests: Sequence[Request]) -> list[Outcome]:
    """Return what the shipped program does, no LM."""
    with dspy.context(lm=None):
        return delegate_all(program_over(dataset), requests, "program")


def _program(way: str, split: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    correct = grade_outcomes(outcomes)
    third = [o.rank is not None and o.rank <= 3 for o in outcomes]
    usages = [o.delegation.usage for o in outcomes]
    return {
        "lm": "none",
        "way": way,
        "split": split,
        "n": len(correct),
        "orders": 1,
        "top1": float(correct.mean()),
        "top1_ci95": metrics.wilson(int(correct.sum()), len(correct)),
        "top3": float(np.mean(third)),
        "tokens_per_task": 0.0,
        "seconds_per_task": float(np.mean([usage.seconds for usage in usages])),
        "lm_calls_per_task": 0.0,
    }


_PARTS = ("right_listed_first", "right_listed_later")
# Top-1 and top-3 of Interloom's document, another LM on other data.
_INTERLOOM = {
    "all agents": "77 / 96",
    "all agents, shuffled": "66 / 88",
    "shortlist": "76 / 93",
    "shortlist and samples": "81 / 96",
}


def table(rows: list[dict[str, Any]]) -> str:
    """Return accuracy and cost by LM and prompt."""
    return markdown(
        rows,
        {
            "LM": lambda r: term(r["lm"]),
            "prompt": lambda r: term(r["way"]),
            "n": lambda r: f"{r['n']}, {r['orders']} orders" if r["orders"] > 1 else r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "duplicates in top-3": lambda r: percent(r["repeats"]) if "repeats" in r else "-",
            "difference to all agents": lambda r: difference(r.get("versus_all_agents")),
            "difference to shortlist": lambda r: difference(r.get("versus_shortlist")),
            "correct if the right agent is first; later": lambda r: (
                "; ".join(f"{r[part]['right']} of {r[part]['n']}" for part in _PARTS)
                if _PARTS[0] in r
                else "-"
            ),
            "this program minus LM": lambda r: difference(r.get("program_versus")),
            "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
            "s": lambda r: f"{r['seconds_per_task']:.2f}",
            "Interloom": lambda r: _INTERLOOM.get(r["way"], "-") if r["lm"] != "none" else "-",
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the best prompt beside the program."""
    best = max((row for row in rows if row["lm"] != "none"), key=lambda row: row["top1"])
    behind = points(best["program_versus"]["difference"])
    return f"Best prompt {percent(best['top1'])}; this program {behind} points over it"
