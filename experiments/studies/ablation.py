"""What does each part of retrieval and confidence add?

No LM; fitted on train and validation as ``compile`` does, measured on test, paired. The default
channels are those of the shipped program: BM25, character n-grams, the linear head, MaxSim and
reverse MaxSim. Recall@k is that of the fused ranking. The AUROC of out-of-scope detection is for
four sets of signals.
"""

from dataclasses import asdict
from typing import Any

import dspy
import numpy as np
from sklearn.linear_model import LogisticRegression

from experiments.support.format import (
    difference,
    estimate,
    markdown,
    p_value,
    percent,
    points,
    rate,
    sections,
)
from experiments.support.quick import shrink
from experiments.support.reports import calibration_error
from experiments.support.stated import errors_of
from experiments.support.terms import term
from optimize.calibration import FEATURE_SETS, features_of, fit_confidence
from optimize.data import OURS, Dataset, load_dataset
from optimize.evaluation import Outcome, delegate_all, grade_outcomes, metrics
from optimize.evaluation.stated import state_in_scope
from optimize.search import LEAN, ScoredRequests, fit_weights
from task_delegator.artifact import load
from task_delegator.decision import correct_probability
from task_delegator.delegation import Delegation
from task_delegator.knobs import InScopeWeights, KnobValues
from task_delegator.retrieval import CHANNELS

_PLACES = (1, 2, 3, 5, 8, 12, 19)  # lengths of the shortlist
_RRF = 60
_SIGNALS = {
    "all signals": InScopeWeights.features(),
    "without MaxSim": tuple(name for name in InScopeWeights.features() if name != "maxsim"),
    "description and samples alone": ("description", "sample"),
    "the posterior alone": ("logit",),
}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per variant; quick: 40 requests, measured on train."""
    dataset = load_dataset(OURS)
    dataset = shrink(dataset) if quick else dataset
    split = "train" if quick else "test"
    program = load("default", dataset.registry)
    with dspy.context(lm=None):
        fitting = delegate_all(program, dataset.splits["validation"], "validation")
        measured = delegate_all(program, dataset.splits[split], split)
        outside = {
            part: [program(text) for text in dataset.out_of_scope[part]]
            for part in ("validation", split)
        }
    return [
        *_confidence(fitting, measured, split),
        *_scope(fitting, measured, outside, split),
        *_fusion(dataset, split),
    ]


def _confidence(
    fitting: list[Outcome], measured: list[Outcome], split: str
) -> list[dict[str, Any]]:
    correct = grade_outcomes(measured)
    stated = {"uncalibrated posterior": [o.delegation.top3[0].probability for o in measured]}
    for names in FEATURE_SETS:
        seen = [features_of(o.delegation) for o in fitting]
        knobs = KnobValues().replaced(fit_confidence(seen, grade_outcomes(fitting), names))
        stated[" + ".join(names)] = [
            correct_probability(features_of(o.delegation), knobs) for o in measured
        ]
    before = np.array(stated["uncalibrated posterior"])
    rows = []
    for name, values in stated.items():
        confidences = np.array(values)
        gain = (before - correct) ** 2 - (confidences - correct) ** 2
        rows.append(
            {
                "part": "confidence",
                "variant": name,
                "split": split,
                "n": len(correct),
                **errors_of(state_in_scope(confidences, correct)),
                "brier": metrics.brier(confidences, correct),
                "auroc_error": metrics.auroc(confidences, correct),
                "aurc": metrics.aurc(confidences, correct),
                "brier_gain": float(gain.mean()),
                "brier_gain_ci95": metrics.bootstrap_mean(gain),
            }
        )
    return rows


def _scope(
    fitting: list[Outcome],
    measured: list[Outcome],
    outside: dict[str, list[Delegation]],
    split: str,
) -> list[dict[str, Any]]:
    def table(delegations: list[Delegation], names: tuple[str, ...]) -> np.ndarray:
        rows = [asdict(d.evidence.signals) | asdict(d.evidence.features) for d in delegations]
        return np.array([[row[name] for name in names] for row in rows])

    inside = [o.delegation for o in fitting], [o.delegation for o in measured]
    fitted = np.repeat([True, False], [len(inside[0]), len(outside["validation"])])
    truth = np.repeat([True, False], [len(inside[1]), len(outside[split])])
    rows = []
    for name, names in _SIGNALS.items():
        known = table([*inside[0], *outside["validation"]], names)
        # A signal that never moves, as a reranker's where none reads, tells nothing.
        spread = np.where(known.std(axis=0) > 0, known.std(axis=0), 1.0)
        model = LogisticRegression(C=1.0, class_weight="balanced").fit(known / spread, fitted)
        fits = model.predict_proba(table([*inside[1], *outside[split]], names) / spread)[:, 1]
        rows.append(
            {
                "part": "out of scope",
                "variant": name,
                "split": split,
                "n": len(truth),
                "auroc": metrics.auroc(fits, truth),
                "auroc_ci95": metrics.bootstrap_auroc(fits, truth),
            }
        )
    return rows


def _fusion(dataset: Dataset, split: str) -> list[dict[str, Any]]:
    index = load("default", dataset.registry).retrieve.library.index({})
    train, test = (ScoredRequests(index, dataset.splits[part]) for part in ("train", split))
    choices = {"lean": LEAN, "every channel": CHANNELS}
    for name, whole in list(choices.items()):
        choices |= {f"{name} without {c}": tuple(o for o in whole if o != c) for c in whole}
    choices["lean without late and back"] = ("bm25", "chars", "head")
    learned = {
        name: test.fused(fit_weights(train, KnobValues(), channels))
        for name, channels in choices.items()
    }
    fused = learned | {
        "fixed weights (the uncompiled program)": test.fused(KnobValues()),
        "every channel, weights all alike": test.fused(equal_weights()),
        "reciprocal rank fusion of every channel": reciprocal_ranks(test),
    }
    ranks = {name: test.ranks(scores) for name, scores in fused.items()}
    first = ranks["lean"] == 1
    return [
        {
            "part": "retrieval",
            "variant": name,
            "split": split,
            "n": len(found),
            "top1": float(np.mean(found == 1)),
            "top1_ci95": metrics.wilson(int(np.sum(found == 1)), len(found)),
            "top3": float(np.mean(found <= 3)),
            "versus_lean": asdict(metrics.compare(found == 1, first)),
            "recall_at": {str(k): float(np.mean(found <= k)) for k in _PLACES},
        }
        for name, found in ranks.items()
    ]


def equal_weights() -> KnobValues:
    """Return knobs with the same weight for every channel."""
    return KnobValues().replaced({f"retrieval.{channel}": 1.0 for channel in CHANNELS})


def reciprocal_ranks(scored: ScoredRequests) -> np.ndarray:
    """Return reciprocal rank fusion (Cormack et al., 2009), shape (requests, agents)."""
    fused = np.zeros(1)
    for channel in CHANNELS:
        order = np.argsort(-scored.z_scores(channel, KnobValues()), axis=1, kind="stable")
        fused = fused + 1 / (_RRF + np.argsort(order, axis=1) + 1)
    return fused


def table(rows: list[dict[str, Any]]) -> str:
    """Return retrieval, confidence and out-of-scope detection, variant by variant."""
    parts = {
        part: [row for row in rows if row["part"] == part]
        for part in ("retrieval", "confidence", "out of scope")
    }
    variant = {"variant": lambda r: term(r["variant"]), "n": lambda r: r["n"]}
    recall = " / ".join(map(str, _PLACES))
    return sections(
        {
            "Retrieval": markdown(
                parts["retrieval"],
                {
                    **variant,
                    "top-1 [95% CI]": lambda r: rate(r, "top1"),
                    "top-3": lambda r: percent(r["top3"]),
                    "difference to default, points": lambda r: difference(r["versus_lean"]),
                    f"recall@{recall}": lambda r: " / ".join(
                        f"{100 * share:.1f}" for share in r["recall_at"].values()
                    ),
                },
            ),
            "Confidence": markdown(
                parts["confidence"],
                {
                    **variant,
                    "ECE [range if calibrated]": calibration_error,
                    "Brier": lambda r: f"{r['brier']:.4f}",
                    "error AUROC": lambda r: f"{r['auroc_error']:.3f}",
                    "AURC": lambda r: f"{r['aurc']:.4f}",
                    "Brier reduction [95% CI]": lambda r: estimate(
                        r["brier_gain"], r["brier_gain_ci95"], 4
                    ),
                },
            ),
            "Out-of-scope detection": markdown(
                parts["out of scope"],
                {**variant, "AUROC [95% CI]": lambda r: estimate(r["auroc"], r["auroc_ci95"], 3)},
            ),
        }
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return what the linear head and learned weights are worth."""
    worth = {r["variant"]: r["versus_lean"] for r in rows if r["part"] == "retrieval"}
    head, fixed = (
        points(-worth[name]["difference"])
        for name in ("lean without head", "fixed weights (the uncompiled program)")
    )
    left = ("lean without", "fixed weights")
    p = min(row["p"] for name, row in worth.items() if name.startswith(left))
    return f"Linear head {head} points, learned weights {fixed}; smallest {p_value(p)}"
