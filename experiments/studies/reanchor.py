"""Does DSPy's ReAnchor choose a better threshold for assigning than ours?

ReAnchor (DSPy 3.4, experimental) moves the cut of a yes-or-no output to where a metric is highest
on the examples, and keeps the old cut of 0.5 where five folds do not agree. Here the output is
"the first agent is right", its probability our calibrated confidence, and the metric +1 for a
right assignment, -19 for a wrong one (so that 95 % right break even), 0 for a review; requests
out of scope count as a fifth. Ours is the rule that certifies 95 %. Both are fitted on the same
validation requests and confidences; test is read once. What else the program asks for before it
assigns, the same for both, is left out.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy
import numpy as np
from dspy.experimental import Noul, ReAnchor

from experiments.support.format import markdown, number, percent, rate, sections
from optimize.calibration import OUT_OF_SCOPE_SHARE, TARGET_PRECISION, calibrate, seem_served
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluation import Outcome, delegate_all, grade_outcomes, metrics
from task_delegator.artifact import load
from task_delegator.decision import Sample, confidence_of, in_scope_probability
from task_delegator.delegator import Delegator

_WRONG = -TARGET_PRECISION / (1 - TARGET_PRECISION)  # where a right assignment is worth 1
_START = 0.5  # DSPy's default cut
_START_RULE, _THEIRS, _OURS = "the default cut", "ReAnchor", "ours"


class _Stated:
    """A client of a decision model that answers with the probability it is asked about."""

    supports_decision_requests = True
    cache = True  # the same question has the same answer

    def __call__(self, state: dict[str, Any], questions: dict[str, Any]) -> dict[str, Any]:
        return {name: {"noul": float(state["inputs"]["confidence"])} for name in questions}


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A threshold, and how it came about."""

    rule: str
    threshold: float
    fit: dict[str, Any]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per rule and split; quick: validation alone."""
    dataset = load_dataset(OURS)
    program = load("default", dataset.registry)
    calibration = calibrate(program, dataset)
    ours: Any = program.knobs.values.confidence.assign_threshold
    found = [
        _Fitted(_START_RULE, _START, {}),
        _fit_reanchor(calibration.scores.sample()),
        _Fitted(_OURS, ours, asdict(calibration.promise)),
    ]
    splits = ("validation",) if quick else ("validation", "test")
    samples = {split: _sample(program, dataset, split) for split in splits}
    return [_measure(samples[split], fitted, split) for split in splits for fitted in found]


def _fit_reanchor(sample: Sample) -> _Fitted:
    """Return the cut that ReAnchor chooses on a sample."""
    share, inside, outside = OUT_OF_SCOPE_SHARE, len(sample.confidences), len(sample.out_of_scope)
    weight = share / (1 - share) * inside / outside
    rows = [
        *zip(sample.confidences, np.where(sample.right, 1.0, _WRONG), strict=True),
        *((confidence, weight * _WRONG) for confidence in sample.out_of_scope),
    ]
    examples = [
        dspy.Example(confidence=float(np.clip(c, 0.0, 1.0)), gain=float(gain)).with_inputs(
            "confidence"
        )
        for c, gain in rows
    ]

    def gain(example: dspy.Example, found: Any) -> float:
        return example.gain if found.right.value else 0.0

    signature: Any = dspy.Signature  # its metaclass makes one of a string
    asked = signature("confidence: float -> right: bool").with_updated_fields(
        "right", type_=Noul, desc="the first agent is right"
    )
    fit: Any = ReAnchor(gain, num_threads=1)
    with dspy.context(lm=_Stated()):
        fit.compile(dspy.Predict(asked), trainset=examples)
    (row,) = fit.report["fitted"]
    return _Fitted(_THEIRS, row.get("value", _START), row)


def _sample(program: Delegator, dataset: Dataset, split: str) -> Sample:
    """Return the confidences of a split; -inf where no threshold assigns, as none seems to fit."""
    outside = [Request(text, ()) for text in dataset.out_of_scope[split]]
    with dspy.context(lm=None):
        outcomes = delegate_all(program, dataset.splits[split], split)
        others = delegate_all(program, outside, "out of scope")
    knobs = program.knobs.values

    def confidences(given: Sequence[Outcome]) -> np.ndarray:
        seen = [outcome.delegation.evidence for outcome in given]
        sure = [confidence_of(one.signals, one.features, knobs) for one in seen]
        fits = [in_scope_probability(one.signals, one.features, knobs) for one in seen]
        return np.where(seem_served(sure, fits, knobs.thresholds()), sure, -np.inf)

    return Sample.of(confidences(outcomes), grade_outcomes(outcomes), confidences(others))


def _measure(sample: Sample, fitted: _Fitted, split: str) -> dict[str, Any]:
    """Return what a threshold assigns of a sample."""
    counts = sample.assigned(fitted.threshold)
    assigned = counts.right + counts.wrong
    return {
        "rule": fitted.rule,
        "threshold": fitted.threshold,
        "split": split,
        "n": counts.n_in,
        "n_out_of_scope": counts.n_out,
        "assigned": assigned / counts.n_in,
        "assigned_ci95": metrics.wilson(assigned, counts.n_in),
        "assigned_out_of_scope": counts.out_of_scope / counts.n_out,
        "assigned_out_of_scope_ci95": metrics.wilson(counts.out_of_scope, counts.n_out),
        "precision_at_share": counts.precision(OUT_OF_SCOPE_SHARE),
        "precision_at_share_ci95": metrics.precision_at_share(counts, OUT_OF_SCOPE_SHARE),
        "precision_assigned": counts.right / assigned,
        "precision_assigned_ci95": metrics.wilson(counts.right, assigned),
        "fit": fitted.fit,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return what each rule assigns, on validation and on test."""
    columns = {
        "threshold by": lambda r: r["rule"],
        "threshold": lambda r: number(r["threshold"], 3),
        "n, in scope + out of scope": lambda r: f"{r['n']} + {r['n_out_of_scope']}",
        "precision at 20% out of scope [95% CI]": lambda r: rate(r, "precision_at_share"),
        "in scope [95% CI]": lambda r: rate(r, "precision_assigned"),
        "assigned in scope [95% CI]": lambda r: rate(r, "assigned"),
        "assigned out of scope [95% CI]": lambda r: rate(r, "assigned_out_of_scope"),
    }
    splits = ("validation", "test")
    return sections(
        {
            split.capitalize(): markdown([row for row in rows if row["split"] == split], columns)
            for split in splits
        }
    )


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return precision and share assigned of both rules on test."""
    said = {row["rule"]: row for row in rows if row["split"] == "test"}
    parts = [
        f"{rule} {percent(said[rule]['precision_at_share'])} right, "
        f"{percent(said[rule]['assigned'])} assigned"
        for rule in (_THEIRS, _OURS)
    ]
    return "; ".join(parts)
