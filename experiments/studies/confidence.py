"""Which confidence signal separates correct from wrong?

Test requests: posterior margin, posterior and calibrated confidence of the program on all of them,
and what two LMs say of the same 40: the probability of the selected slot (in one order, averaged
over two), that of the program's top-1, and a rubric rating of it from 1 to 5 (unreadable ratings
count as 3). The ECE of the calibrated confidence is that of requests in scope and out of scope,
weighted as evaluation weights them. LMs see a shortlist of five; the embedded LM runs without its
adapter. An LM that picks the first slot is right as often as retrieval is. Answers are kept in
``answers/``. Bins of the reliability diagram hold at least ten requests.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import dspy
import numpy as np
from tqdm import tqdm

from experiments.support.costs import count_usage, per_task
from experiments.support.format import COST, markdown, number, percent, rate, sections
from experiments.support.llm_answers import PromptedLM, language_models
from experiments.support.reports import calibration_error
from experiments.support.stated import errors_of
from experiments.support.terms import term
from optimize.data import OURS, load_dataset
from optimize.evaluation import (
    Outcome,
    delegate_all,
    delegate_measured,
    delegate_texts,
    grade_outcomes,
    metrics,
    select,
)
from optimize.evaluation.stated import Stated, state, state_in_scope
from optimize.lm_stage import opened, said_by_lm
from task_delegator.artifact import load
from task_delegator.delegation import Delegation, Usage
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues
from task_delegator.signatures import SlotAdapter

_ASKED = 40  # requests that the LM is asked about: two orders and a rating take three calls
_PER_BIN = 10  # requests in a bin of the reliability diagram, at least
_PLACES = 5  # agents on the shortlist that the LM sees
_COVERAGES = tuple(round(0.1 * step, 1) for step in range(1, 11))


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per sign, and two stories; quick: 3 validation requests."""
    dataset = load_dataset(OURS)
    program = load("default", dataset.registry)
    split = "validation" if quick else "test"
    with dspy.context(lm=None):
        outcomes = delegate_all(program, dataset.splits[split], split)
        outside = delegate_texts(program, dataset.out_of_scope[split], "out of scope")
    some = set(select(dataset.splits[split], 3 if quick else _ASKED, seed=0))
    asked = [outcome for outcome in outcomes if outcome.request in some]
    knobs = program.knobs.values
    rows = _without_lm(outcomes, outside, knobs, split, "all")
    rows += _without_lm(asked, select(outside, len(asked), seed=0), knobs, split, "a part")
    for lm in language_models(quick):
        rows += _with_lm(program, asked, lm, split)
    return rows + _select_examples(outcomes, split)


def _without_lm(
    outcomes: Sequence[Outcome],
    outside: Sequence[Delegation],
    knobs: KnobValues,
    split: str,
    which: str,
) -> list[dict[str, Any]]:
    """Return the program's own signs, for all requests or the part that LMs are asked about.

    The ECE of its confidence is that of requests in scope and out of scope.
    """
    correct = grade_outcomes(outcomes)
    margin = np.array([o.delegation.evidence.features.margin for o in outcomes])
    posterior = np.array([o.delegation.top3[0].probability for o in outcomes])
    whole = np.array([o.confidence for o in outcomes])
    said = state([o.delegation for o in outcomes], correct, outside, knobs)
    cost = per_task([o.delegation.usage for o in outcomes])
    rows = [
        _row("retrieval margin", "none", split, margin, correct, probability=False),
        _row("retrieval posterior", "none", split, posterior, correct),
        _row("calibrated confidence", "none", split, whole, correct, said=said),
    ]
    return [row | {"requests": which} | cost for row in rows]


def _with_lm(
    program: Delegator, asked: Sequence[Outcome], lm: PromptedLM, split: str
) -> list[dict[str, Any]]:
    kept = _ask_lm(program, asked, lm)
    said = [row["answer"] for row in kept]
    asking, rating = ([Usage(**row[spent]) for row in kept] for spent in ("asking", "rating"))
    correct = grade_outcomes(asked)
    pairs = list(zip(said, asked, strict=True))
    picked = np.array([s["picked"][0] in o.request.acceptable for s, o in pairs])
    once = np.array([max(s["orders"][0].values()) for s in said])
    both = [max(s["probabilities"], key=lambda n, s=s: s["probabilities"][n]) for s in said]
    agreed = np.array([n in o.request.acceptable for n, o in zip(both, asked, strict=True)])
    mean = np.array([max(s["probabilities"].values()) for s in said])
    rated = np.array([s["rubric"] or 3 for s in said])
    belief = np.array([s["probabilities"][o.ranking[0]] for s, o in pairs])
    flips = float(np.mean([len(set(s["picked"])) > 1 for s in said]))
    rows = [
        _row("log-probabilities, one order, its pick", lm.label, split, once, picked)
        | per_task(asking, 1 / 2),
        _row("log-probabilities, both orders, its pick", lm.label, split, mean, agreed)
        | per_task(asking),
        _row("log-probabilities of the program's pick", lm.label, split, belief, correct)
        | per_task(asking),
        _row("rubric of the program's pick", lm.label, split, rated, correct, probability=False)
        | per_task(rating),
    ]
    first = [[pick == next(iter(o)) for pick, o in zip(s["picked"], s["orders"], strict=True)]
             for s in said]  # fmt: skip
    ratings = Counter(s["rubric"] for s in said)
    facts = {
        "flips": flips,
        "picks_first_place": np.mean(first, axis=0).tolist(),
        "ratings": [ratings[rating] for rating in (1, 2, 3, 4, 5, None)],
        "mass": float(np.median([s["mass"] for s in said])),
        "belief_in_pick": [float(once.min()), float(once.max())],
        "requests": "a part",
    }
    return [row | facts for row in rows]


def _ask_lm(program: Delegator, asked: Sequence[Outcome], lm: PromptedLM) -> list[dict[str, Any]]:
    """Return what an LM said of each request's shortlist, its rating of the first place (both as
    ``answer``), and the costs of ``asking`` in two orders and of ``rating``.
    """
    student = opened(
        program, {"lm.orders": 2, "lm.weight": 0.0, "lm.shortlist": _PLACES, "lm.prior": 0.0}
    )
    select: Any = student.classify.select
    setting = {
        "knobs": student.knobs.values.model_dump(),
        "registry": program.registry.sha256(),
        "rate": student.rate.dump_state(),
    }

    def ask(outcome: Outcome) -> dict[str, Any]:
        text = outcome.request.text
        agents = [program.registry[name] for name in outcome.ranking[:4]]
        with dspy.context(lm=lm.lm, disable_history=True):
            with count_usage() as asking:
                delegation = delegate_measured(student, text)
            with count_usage() as rating:
                rubric = student.rate(task=text, agents=agents).rubric
        said = said_by_lm(Outcome(outcome.request, delegation))
        answer = {
            "rubric": rubric,
            "probabilities": said.probabilities,
            "orders": [given.probabilities for given in said.answers],
            "picked": [given.picked for given in said.answers],
            "mass": [given.mass for given in said.answers],
        }
        return {"answer": answer, "asking": asdict(asking.usage), "rating": asdict(rating.usage)}

    said = []
    for outcome in tqdm(asked, desc=f"{lm.label}, confidence", delay=3):
        inputs = {"task": outcome.request.text, "candidates": ""}
        shown = SlotAdapter().format(select.signature, select.demos, inputs)
        question = setting | {"select": shown}
        said.append(lm.cached("confidence", question, partial(ask, outcome)))
    return said


def _row(
    sign: str,
    lm: str,
    split: str,
    scores: np.ndarray,
    correct: np.ndarray,
    probability: bool = True,
    said: Stated | None = None,
) -> dict[str, Any]:
    """Return the row of a sign.

    Args:
        sign, lm, split: which it is.
        scores: the sign, of requests in scope, shape (n,).
        correct: whether the first agent is right, shape (n,).
        probability: whether the sign is one, so that it has an ECE.
        said: what the ECE is of, where P(some agent fits) is part of the sign.
    """
    row: dict[str, Any] = {
        "sign": sign,
        "lm": lm,
        "split": split,
        "n": len(correct),
        "accuracy": float(correct.mean()),
        "accuracy_ci95": metrics.wilson(int(correct.sum()), len(correct)),
        "auroc_error": metrics.auroc(scores, correct),
        "aurc": metrics.aurc(scores, correct),
        "accuracy_at_coverage": {
            str(c): metrics.accuracy_at_coverage(scores, correct, c) for c in _COVERAGES
        },
    }
    if 0 < correct.sum() < len(correct):
        row["auroc_error_ci95"] = metrics.bootstrap_auroc(scores, correct)
    if probability:
        row |= errors_of(said or state_in_scope(scores, correct))
        row["reliability"] = metrics.reliability(
            scores, correct, bins=min(10, max(1, len(correct) // _PER_BIN))
        )
    return row


def _select_examples(outcomes: Sequence[Outcome], split: str) -> list[dict[str, Any]]:
    """Return the clearest case, and the closest tie of two agents."""
    clear = max(outcomes, key=lambda o: o.delegation.top3[0].probability)
    tie = min(outcomes, key=lambda o: o.delegation.evidence.features.margin)
    return [
        {
            "sign": f"story: {kind}",
            "lm": "none",
            "split": split,
            "task": outcome.request.text,
            "expected": outcome.request.acceptable,
            "top3": [(c.name, c.probability) for c in outcome.delegation.top3],
            "confidence": outcome.delegation.confidence,
            "decision": outcome.delegation.decision,
            "reason": outcome.delegation.reason,
        }
        for kind, outcome in (("a clear case", clear), ("a tie", tie))
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the signals, and two requests as examples."""
    signals = [row for row in rows if "auroc_error" in row]
    shown = markdown(
        signals,
        {
            "signal": lambda r: term(r["sign"]),
            "LM": lambda r: term(r["lm"]),
            "requests": lambda r: "subset" if r["requests"] == "a part" else r["requests"],
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "accuracy"),
            "error AUROC [95% CI]": _error_auroc,
            "ECE [range if calibrated]": lambda r: calibration_error(r) if "ece" in r else "-",
            "top-1 at 50% coverage": lambda r: percent(r["accuracy_at_coverage"]["0.5"]),
            "picks the first slot, in order / reversed": lambda r: (
                " / ".join(map(percent, r["picks_first_place"])) if "its pick" in r["sign"] else "-"
            ),
            "ratings 1 / 2 / 3 / 4 / 5, unreadable": lambda r: (
                " / ".join(map(str, r["ratings"][:5])) + f", {r['ratings'][5]}"
                if r["sign"].startswith("rubric")
                else "-"
            ),
            **COST,
        },
    )
    examples = [_example(row) for row in rows if row["sign"].startswith("story")]
    return sections({"Signals": shown, "Examples": "\n".join(examples)})


def _error_auroc(row: dict[str, Any]) -> str:
    if "auroc_error_ci95" not in row:
        return number(row["auroc_error"], 2)
    low, high = row["auroc_error_ci95"]
    return f"{row['auroc_error']:.2f} [{low:.2f}, {high:.2f}]"


def _example(row: dict[str, Any]) -> str:
    kind = row["sign"].removeprefix("story: ").capitalize()
    verdict = "correct" if row["top3"][0][0] in row["expected"] else "wrong"
    posterior = ", ".join(f"{name} {percent(p)}" for name, p in row["top3"])
    return (
        f"- **{kind}, {verdict}.** “{row['task']}” Posterior: {posterior}. "
        f"Expected: {' or '.join(row['expected'])}. "
        f"Confidence {row['confidence']:.2f}: {row['decision']}."
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the error AUROC of retrieval's margin and of the best LM signal."""
    subset = [row for row in rows if row.get("requests") == "a part"]
    margin = next(row for row in subset if row["sign"] == "retrieval margin")["auroc_error"]
    best = max(row["auroc_error"] or 0.0 for row in subset if row["lm"] != "none")
    return f"Posterior margin (error AUROC {margin:.2f}); best LM signal {best:.2f}, same requests"
