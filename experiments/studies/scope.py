"""What does the program know of "nobody fits", and of its confidence, without labels?

Retrieval alone, with the shipped program's weights. P(some agent fits) and the confidence are
fitted on validation requests (``labels``), or on the agents' own samples (``samples``). At most
1,000 test and 600 validation requests of a set are taken, and 400 out of scope, by a fixed seed.
Without its ``out_of_scope.json``, only requests without their right agents say what nobody serves
(``labels, file withheld``). A hidden right agent
is one that the caller may not use: its index is built without it. Few permitted agents are looked
at on validation, the right one among them or missing, the others those closest to it.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from experiments.support.format import estimate, markdown, number, percent, rate, sections
from experiments.support.public_data import load_public
from experiments.support.quick import shrink
from experiments.support.reports import calibration_error
from experiments.support.stated import errors_of
from optimize.calibration import calibrate
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluation import Outcome, delegate_all, grade_outcomes, metrics, select
from optimize.evaluation.stated import state
from task_delegator.artifact import calibrate_itself, load, written_samples
from task_delegator.calibration import CalibratedAgents
from task_delegator.decision import assemble, confidence_of, decide
from task_delegator.delegator import Delegator
from task_delegator.registry import Agent, Registry
from task_delegator.retrieval import score, without

_SETS = ("ours", "banking77", "clinc150", "hwu64")
_UNTOUCHED = ("banking77", "clinc150", "hwu64", "seal_tools")
_MOST = {"validation": 600, "test": 1000}
_STRANGERS, _FIRST = 400, 100
_WITHHELD = "labels, file withheld"
_FEW = (2, 3, 5, 10, 20)
# As people write who try the program for the first time.
TERSE = {
    "travel": "flights, hotels",
    "refunds": "money back",
    "payroll": "salaries, payslips",
    "it help": "laptops, passwords",
    "legal": "contracts",
    "recruiting": "job ads, interviews",
    "marketing": "campaigns, newsletters",
    "sales": "quotes, customers",
    "accounting": "invoices, taxes",
    "facilities": "rooms, keys, cleaning",
    "security": "incidents, phishing",
    "data": "dashboards, queries",
    "design": "logos, layouts",
    "translation": "texts into other languages",
    "training": "courses, onboarding",
    "procurement": "orders from suppliers",
    "logistics": "parcels, shipping",
    "events": "conferences, catering",
    "support": "questions of customers",
    "press": "releases, journalists",
}
_TYPED = (
    ("book me a hotel in Oslo", "travel"),
    ("I forgot my password", "it help"),
    ("where is my payslip for May", "payroll"),
    ("we got a phishing mail", "security"),
    ("translate this letter into French", "translation"),
    ("What should I cook on Sunday?", None),
    ("who won the match last night", None),
)


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per question, set and calibration; quick: few validation requests."""
    if quick:
        ours = shrink(_data("ours"))
        return [*_first_minute(quick), *_confidence("ours", ours, "validation")]
    found = []
    for name in _SETS:
        found += _confidence(name, _data(name), "test")
    return [*found, *_hidden(_data("ours")), *_few(_data("ours")), *_first_minute(quick)]


def _data(name: str) -> Dataset:
    """Return a set with a fixed part of its validation and test requests."""
    dataset = load_dataset(OURS) if name == "ours" else load_public(name)
    splits = dict(dataset.splits)
    for split in ("validation", "test"):
        splits[split] = tuple(select(splits[split], _MOST[split], seed=0))
    outside = {
        split: tuple(select(texts, _STRANGERS, seed=0))
        for split, texts in dataset.out_of_scope.items()
    }
    return replace(dataset, splits=splits, out_of_scope=outside)


def _calibrated(dataset: Dataset, by: str) -> Delegator:
    """Return the shipped program for a set's agents, calibrated on labels or samples."""
    program = load("default", dataset.registry)
    if by == "samples":
        calibrate_itself(program, written_samples(dataset.path / "agents.json"))
        return program
    if by == _WITHHELD:
        none: dict[str, tuple[str, ...]] = dict.fromkeys(dataset.out_of_scope, ())
        dataset = replace(dataset, out_of_scope=none)
    calibrate(program, dataset)
    program.calibrated_for = CalibratedAgents()
    return program


def _confidence(name: str, dataset: Dataset, split: str) -> Iterator[dict[str, Any]]:
    """Yield how true the confidence is, what is assigned, and how well strangers are told."""
    known = bool(dataset.out_of_scope["test"])
    for by in ("labels", _WITHHELD, "samples") if known else ("labels", "samples"):
        program = _calibrated(dataset, by)
        outcomes = delegate_all(program, dataset.splits[split], f"{name}, {by}")
        outside = [program(text) for text in dataset.out_of_scope[split]]
        right = grade_outcomes(outcomes)
        assigned = np.array([outcome.delegation.decision == "assign" for outcome in outcomes])
        n, good = int(assigned.sum()), int((assigned & right).sum())
        taken = sum(each.decision == "assign" for each in outside)
        inside = [outcome.delegation for outcome in outcomes]
        given = [*inside, *outside]
        fits = np.array([each.evidence.in_scope_score for each in given])
        fitting = np.arange(len(given)) < len(outcomes)
        yield {
            "part": "confidence",
            "data": name,
            "by": by,
            "split": split,
            "n": len(outcomes),
            "top1": float(right.mean()),
            **errors_of(state(inside, right, outside, program.knobs.values)),
            **_rate("assigned", n, len(outcomes)),
            **_rate("precision", good, n),
            "none": sum(outcome.delegation.decision == "none" for outcome in outcomes),
            "n_out_of_scope": len(outside),
            **_rate("out_of_scope_assigned", taken, len(outside)),
            "out_of_scope_none": sum(each.decision == "none" for each in outside),
            "auroc": metrics.auroc(fits, fitting),
            "auroc_ci95": metrics.bootstrap_auroc(fits, fitting) if outside else None,
        }


def _hidden(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield how often a request is assigned whose right agents its caller may not use."""
    registry = Registry(
        agent.model_copy(update={"required_permissions": frozenset({agent.name})})
        for agent in dataset.registry
    )
    everyone = {agent.name for agent in registry}
    for by in ("labels", "samples"):
        program = _calibrated(replace(dataset, registry=registry), by)
        requests = sorted(dataset.splits["test"], key=lambda request: sorted(request.acceptable))
        decisions = [
            program(request.text, permissions=everyone - set(right)).decision
            for right, same in groupby(requests, key=lambda request: sorted(request.acceptable))
            for request in same
        ]
        yield {
            "part": "hidden",
            "data": "ours",
            "by": by,
            "split": "test",
            "n": len(decisions),
            **_rate("assigned", decisions.count("assign"), len(decisions)),
            "none": decisions.count("none"),
        }


def _few(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield what would be decided for callers of few agents, were the scale to speak there."""
    program = _calibrated(dataset, "labels")
    for number_of_agents in _FEW:
        found: dict[bool, list[tuple[str, bool]]] = {True: [], False: []}
        for request in dataset.splits["validation"]:
            for present, decisions in found.items():
                decisions.append(_decided(program, request, number_of_agents, present=present))
        assigned = [right for decision, right in found[True] if decision == "assign"]
        astray = sum(decision == "assign" for decision, _ in found[False])
        wrong_none = sum(decision == "none" for decision, _ in found[True])
        yield {
            "part": "few",
            "data": "ours",
            "by": "labels",
            "split": "validation",
            "agents": number_of_agents,
            "n": len(found[True]),
            **_rate("assigned", len(assigned), len(found[True])),
            **_rate("precision", sum(assigned), len(assigned)),
            **_rate("wrong_none", wrong_none, len(found[True])),
            **_rate("missing_assigned", astray, len(found[False])),
        }


def _decided(
    program: Delegator, request: Request, number_of_agents: int, *, present: bool
) -> tuple[str, bool]:
    """Return the decision among the agents closest to the right one, and whether it is right."""
    knobs, retrieve = program.knobs.values, program.retrieve
    index = retrieve.library.index(retrieve.learned.values)
    own = index.names.index(request.expected)
    others = [i for i, name in enumerate(index.names) if name not in request.acceptable]
    others.sort(key=lambda i: -index.closeness(own, i))
    kept = {own, *others[: number_of_agents - 1]} if present else set(others[:number_of_agents])
    hidden = [name for i, name in enumerate(index.names) if i not in kept]
    query = retrieve.read(request.text, index)
    candidates, signals = without(index, query, score(index, query, knobs), hidden, knobs)
    features = assemble(candidates, signals)
    assessment = program.assess(candidates, signals, knobs)
    decision, _ = decide(
        candidates,
        confidence_of(signals, features, knobs),
        assessment.in_scope_score,
        knobs.thresholds(),
    )
    return decision, candidates[0].name in request.acceptable


def _first_minute(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield what the shipped program says to agents that it was never fitted to."""
    terse = Registry(Agent(name=name, description=said) for name, said in TERSE.items())
    typed = [Request(text, (right or "nobody",)) for text, right in _TYPED]
    sets = {"20 terse agents": (terse, typed)}
    for name in () if quick else _UNTOUCHED:
        data = load_public(name)
        sets[name] = data.registry, select(data.splits["validation"], _FIRST, seed=0)
    for name, (registry, requests) in sets.items():
        outcomes = delegate_all(load("default", registry), requests, name)
        served = [outcome for outcome in outcomes if outcome.request.expected != "nobody"]
        decisions = [outcome.delegation.decision for outcome in outcomes]
        yield {
            "part": "untouched",
            "data": name,
            "split": "validation",
            "n": len(outcomes),
            "decisions": {d: decisions.count(d) for d in ("assign", "review", "none")},
            "n_served": len(served),
            "first": sum(outcome.correct for outcome in served),
            "among_three": sum(_among_three(outcome) for outcome in served),
        }


def _among_three(outcome: Outcome) -> bool:
    return bool({c.name for c in outcome.delegation.top3}.intersection(outcome.request.acceptable))


def _rate(name: str, number_of: int, n: int) -> dict[str, Any]:
    """Return a rate and its interval; None of nothing."""
    return {
        name: number_of / n if n else None,
        f"{name}_ci95": metrics.wilson(number_of, n) if n else None,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the answers as one table a question."""
    parts = {part: [row for row in rows if row["part"] == part] for part in _TABLES}
    return sections(
        {title: markdown(parts[part], columns) for part, (title, columns) in _TABLES.items()}
    )


def _shown(name: str) -> Any:
    return lambda row: "-" if row[name] is None else rate(row, name)


_DATA = {"data": lambda r: r["data"], "fitted on": lambda r: r["by"], "n": lambda r: r["n"]}
_TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "confidence": (
        "Confidence and out of scope, fitted on labels and on samples",
        _DATA
        | {
            "top-1": lambda r: percent(r["top1"]),
            "ECE [range if calibrated]": calibration_error,
            "assigned [95% CI]": _shown("assigned"),
            "precision, in scope [95% CI]": _shown("precision"),
            "in scope but `none`": lambda r: r["none"],
            "out-of-scope n": lambda r: r["n_out_of_scope"] or "-",
            "out-of-scope assigned [95% CI]": _shown("out_of_scope_assigned"),
            "out-of-scope `none`": lambda r: r["out_of_scope_none"] if r["n_out_of_scope"] else "-",
            "out-of-scope AUROC [95% CI]": lambda r: (
                estimate(r["auroc"], r["auroc_ci95"], 3) if r["n_out_of_scope"] else "-"
            ),
        },
    ),
    "hidden": (
        "The right agent is hidden from the caller",
        _DATA | {"assigned [95% CI]": _shown("assigned"), "`none`": lambda r: r["none"]},
    ),
    "few": (
        "Few permitted agents, were the scale to speak there (validation)",
        {"agents": lambda r: r["agents"], "n": lambda r: r["n"]}
        | {
            "assigned [95% CI]": _shown("assigned"),
            "precision [95% CI]": _shown("precision"),
            "in scope but `none` [95% CI]": _shown("wrong_none"),
            "assigned, right agent missing [95% CI]": _shown("missing_assigned"),
        },
    ),
    "untouched": (
        "The shipped program, untouched, on other agents",
        {
            "data": lambda r: r["data"],
            "n": lambda r: r["n"],
            "assign / review / none": lambda r: " / ".join(map(str, r["decisions"].values())),
            "right agent first": lambda r: f"{r['first']} of {r['n_served']}",
            "among the three": lambda r: f"{r['among_three']} of {r['n_served']}",
        },
    ),
}


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the range of the ECE on samples, and how often a hidden agent's tasks are assigned."""
    errors = [r["ece"] for r in rows if r["part"] == "confidence" and r["by"] == "samples"]
    [hidden] = [r for r in rows if r["part"] == "hidden" and r["by"] == "labels"]
    return (
        f"Samples calibrate: ECE {number(min(errors), 3)} to {number(max(errors), 3)}; "
        f"hidden agents' requests assigned {percent(hidden['assigned'])}"
    )
