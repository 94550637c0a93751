"""Does asking the embedded LM help where retrieval is uncertain?

Validation requests below the assign threshold. The LM selects from a shortlist of five in one
order, in two orders, and beside two expansions of the query (rephrasings, HyDE); it rates
retrieval's top-1 on the rubric. The pooling weight is cross-validated; *log-likelihood gain* is
what the LM adds for the right agent. The last table asks the least confident requests first, at
the weight that fits them best: an upper bound.
"""

import random
from dataclasses import asdict
from typing import Any

import dspy
import numpy as np

from experiments.support.costs import count_usage, per_task
from experiments.support.format import COST, difference, markdown, percent, rate, sections
from experiments.support.terms import term
from optimize.data import OURS, load_dataset
from optimize.evaluation import Outcome, delegate_all, grade_outcomes, metrics
from optimize.lm_stage import (
    belief_of,
    cross_validated_gain,
    fit_weight,
    gain_curve,
    opened,
    pooled,
    rubric_gain,
    said_by_lm,
)
from task_delegator.artifact import load
from task_delegator.delegator import Delegator
from task_delegator.lm import language_model

_ASKED = 48  # requests that the LM is asked about in every way
_WAYS: dict[str, dict[str, Any]] = {
    "both orders": {},
    "two phrasings retrieved beside the task": {"expansion.phrasings": 2},
    "ideal agent retrieved beside the task": {"expansion.hyde": True},
}

_PLAIN: dict[str, Any] = {
    "lm.orders": 2,
    "lm.weight": 0.0,
    "retrieval.k": 5,
    "lm.repeats": 1,
}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per way of asking and per step of the gate; quick asks 4 requests plainly."""
    dataset = load_dataset(OURS)
    program = load("default", dataset.registry)
    lm = language_model("embedded")
    outcomes = delegate_all(program, dataset.splits["validation"], "find unsure requests")
    threshold = program.knobs.values.confidence.assign_threshold or 1.0
    unsure = [o for o in outcomes if o.delegation.confidence < threshold]
    random.Random(0).shuffle(unsure)
    requested = unsure[: 4 if quick else _ASKED]
    rows = []
    plain: list[Outcome] = []
    for way, knobs in list(_WAYS.items())[: 1 if quick else None]:
        answers = _ask(program, requested, lm, way, knobs)
        plain = plain or answers
        rows.append(_row(way, answers))
        if knobs:
            rows[-1] |= _compare_retrieval(requested, answers)
        else:
            once = _row("one order", answers, orders=1)
            once["versus_both"] = asdict(
                metrics.compare(_grade_picks(answers, 1), _grade_picks(answers, 2))
            )
            rows.append(once)
    if not quick:
        rows += [_rubric(program, plain, lm), *_gate(outcomes, plain)]
    return rows


def _ask(
    program: Delegator, requested: list[Outcome], lm: dspy.LM, way: str, knobs: dict[str, Any]
) -> list[Outcome]:
    student = opened(program, _PLAIN | knobs)
    with dspy.context(lm=lm):
        return delegate_all(student, [outcome.request for outcome in requested], way)


def _compare_retrieval(requested: list[Outcome], answers: list[Outcome]) -> dict[str, Any]:
    """Return retrieval's top-1 before and after an expansion."""
    before, after = grade_outcomes(requested), grade_outcomes(answers)
    return {
        "retrieved_right_before": float(before.mean()),
        "retrieved_right_after": float(after.mean()),
        "versus_before": asdict(metrics.compare(after, before)),
    }


def _grade_picks(answers: list[Outcome], orders: int) -> np.ndarray:
    beliefs = [belief_of(answer, orders) for answer in answers]
    return np.array(
        [
            max(belief, key=lambda name: belief[name]) in answer.request.acceptable
            for belief, answer in zip(beliefs, answers, strict=True)
        ]
    )


def _row(way: str, answers: list[Outcome], orders: int = 2) -> dict[str, Any]:
    mean, error = cross_validated_gain([gain_curve(o, orders) for o in answers], seed=0)
    answers_by_request = [said_by_lm(o).answers for o in answers]
    correct = _grade_picks(answers, orders)
    return {
        "way": way,
        "split": "validation",
        "n": len(answers),
        "gained": mean,
        "gained_error": error,
        "picked_right": float(correct.mean()),
        "picked_right_ci95": metrics.wilson(int(correct.sum()), len(correct)),
        "flips": float(np.mean([len({a.picked for a in s}) > 1 for s in answers_by_request])),
        "sources": sorted({answer.source for s in answers_by_request for answer in s}),
        **per_task([o.delegation.usage for o in answers], orders / 2),
    }


def _rubric(program: Delegator, answers: list[Outcome], lm: dspy.LM) -> dict[str, Any]:
    """Return what the LM's own rating of retrieval's first place says of its errors."""
    with count_usage() as rating:
        measured, ratings, _ = rubric_gain(program, answers, lm, weight=0.0)
    scores = dict(zip(("auroc", "auroc_without", "gained_error"), measured or (), strict=False))
    return {
        "way": "rubric",
        "split": "validation",
        "n": len(answers),
        "retrieved_right_before": float(grade_outcomes(answers).mean()),
        **scores,
        "helps": bool(ratings),
        **per_task([rating.usage], 1 / len(answers)),
    }


def _gate(outcomes: list[Outcome], answers: list[Outcome]) -> list[dict[str, Any]]:
    """Return accuracy over all of validation when so many of the least sure were asked."""
    weight = fit_weight([gain_curve(answer) for answer in answers])
    by_text = {answer.request.text: answer for answer in answers}
    ranked = sorted(answers, key=lambda a: a.delegation.evidence.gate.confidence)
    rows = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        chosen = {a.request.text for a in ranked[: round(share * len(ranked))]}
        correct = [
            _grade_pooled(by_text[o.request.text], weight)
            if o.request.text in chosen
            else o.correct
            for o in outcomes
        ]
        spent = [
            (by_text[o.request.text] if o.request.text in chosen else o).delegation.usage
            for o in outcomes
        ]
        rows.append(
            {
                "way": "gate",
                "split": "validation",
                "n": len(correct),
                "asked": len(chosen),
                **per_task(spent),
                "weight": weight,
                "top1": float(np.mean(correct)),
                "top1_ci95": metrics.wilson(sum(correct), len(correct)),
            }
        )
    return rows


def _grade_pooled(answer: Outcome, weight: float) -> bool:
    return pooled(answer, weight)[0].name in answer.request.acceptable


def table(rows: list[dict[str, Any]]) -> str:
    """Return the gain by prompt configuration, of the rubric, and accuracy against calls."""
    return sections(
        {
            "LM selection": _selection_table(rows),
            "Rubric": markdown(
                [row for row in rows if row["way"] == "rubric"],
                {
                    "n": lambda r: r["n"],
                    "retrieval top-1": lambda r: percent(r["retrieved_right_before"]),
                    "error AUROC, margin": lambda r: f"{r['auroc_without']:.2f}",
                    "with rubric": lambda r: f"{r['auroc']:.2f}",
                    "standard error of the difference": lambda r: f"{r['gained_error']:.2f}",
                    **COST,
                },
            ),
            "Accuracy against LM calls": markdown(
                [row for row in rows if row["way"] == "gate"],
                {
                    "LM asked about": lambda r: f"{r['asked']} of {r['n']}",
                    "top-1 [95% CI]": lambda r: rate(r, "top1"),
                    "pooling weight": lambda r: f"{r['weight']:.2f}",
                    **COST,
                },
            ),
        }
    )


def _selection_table(rows: list[dict[str, Any]]) -> str:
    return markdown(
        [row for row in rows if "gained" in row],
        {
            "configuration": lambda r: term(r["way"]),
            "n": lambda r: r["n"],
            "log-likelihood gain ± SE": lambda r: f"{r['gained']:.3f} ± {r['gained_error']:.3f}",
            "LM top-1 [95% CI]": lambda r: rate(r, "picked_right"),
            "difference to both orders, points": lambda r: difference(r.get("versus_both")),
            "retrieval top-1, before / after expansion": lambda r: (
                f"{percent(r['retrieved_right_before'])} / {percent(r['retrieved_right_after'])}"
                if "versus_before" in r
                else "-"
            ),
            "paired, points": lambda r: difference(r.get("versus_before")),
            "order flips": lambda r: percent(r["flips"]),
            "probabilities from": lambda r: ", ".join(r["sources"]),
            **COST,
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return whether any configuration gains likelihood."""
    best = max((row for row in rows if "gained" in row), key=lambda row: row["gained"])
    helps = "Helps" if best["gained"] > 2 * best["gained_error"] else "No"
    gain = f"{best['gained']:+.3f} ± {best['gained_error']:.3f}"
    return f"{helps}: best log-likelihood gain {gain} ({term(best['way'])})"
