"""AssessConfidence: evidence of the stages to calibrated probabilities.

Logistic models over a handful of features (Platt, Probabilistic Outputs for Support
Vector Machines, 1999); their weights are knobs, fitted on labelled requests by
``optimize calibrate``. A feature that is missing is None and counts as neutral.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np

from ..delegation import Candidate, Features, Signals
from ..knobs import KnobValues
from ..prediction import FrozenPrediction
from ..probability import CONFIDENCE_FLOOR

SURE = ("logit", "margin", "agree", "near")
SURE_LM = ("logit", "margin", "agree", "near", "slot_margin", "orders", "rubric")
FITS = ("description", "sample", "head", "late", "logit")
COLUMNS = {"sure": (*SURE, "foreign"), "sure_lm": (*SURE_LM, "foreign"), "fits": FITS}


class Assessment(FrozenPrediction):
    """Calibrated probabilities of the first place.

    Attributes:
        confidence: P(first place is right), 0..1.
        in_scope_score: P(some agent fits), 0..1.
        features: behind the confidence.
    """

    confidence: float
    in_scope_score: float
    features: Features


class AssessConfidence(dspy.Module):
    """Turn evidence into P(first place is right) and P(some agent fits)."""

    def forward(
        self,
        candidates: Sequence[Candidate],
        signals: Signals,
        knobs: KnobValues,
        foreign: bool = False,
        belief: Mapping[str, float] | None = None,
        orders: Sequence[str | None] = (),
        rubric: int | None = None,
    ) -> Assessment:
        """Return the confidence in the first place, and whether some agent fits.

        Args:
            candidates: the posterior, best first, one at least.
            signals: of retrieval.
            knobs: weights of the features.
            foreign: whether the embedder does not know the task's language.
            belief: the LM's probability per agent; None where it was not asked.
            orders: the LM's pick in each order that it was shown.
            rubric: the LM's own confidence, 1..5.
        """
        features = assemble(candidates, signals, foreign, belief, orders, rubric)
        prefix = "sure" if belief is None else "sure_lm"
        scope = table([asdict(signals) | {"logit": features.logit}], "fits")
        return Assessment(
            confidence=float(probabilities(table([asdict(features)], prefix), knobs, prefix)[0]),
            in_scope_score=float(probabilities(scope, knobs, "fits")[0]),
            features=features,
        )

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Assessment:
            """Return what ``forward`` does."""
            ...


def assemble(
    candidates: Sequence[Candidate],
    signals: Signals,
    foreign: bool = False,
    belief: Mapping[str, float] | None = None,
    orders: Sequence[str | None] = (),
    rubric: int | None = None,
) -> Features:
    """Return the features of a posterior, best candidate first, and of the LM's answers.

    Of a lone candidate the posterior says nothing: it has no rival.
    """
    lone = len(candidates) < 2
    first = min(max(candidates[0].probability, CONFIDENCE_FLOOR), 1 - CONFIDENCE_FLOOR)
    second = 0.0 if lone else candidates[1].probability
    return Features(
        logit=0.0 if lone else math.log(first / (1 - first)),
        margin=0.0 if lone else math.log(first / min(max(second, CONFIDENCE_FLOOR), first)),
        agree=signals.agree,
        near=signals.near,
        foreign=float(foreign),
        slot_margin=None if belief is None or len(belief) < 2 else _slot_margin(belief),
        orders=_agreement(orders),
        rubric=None if rubric is None else float(rubric - 3),
    )


def table(rows: Sequence[Mapping[str, float | None]], prefix: str) -> np.ndarray:
    """Return the matrix that ``probabilities`` takes, shape (n, columns); missing values are 0."""
    found = [[row[name] or 0.0 for name in COLUMNS[prefix]] for row in rows]
    return np.array(found, dtype=float).reshape(-1, len(COLUMNS[prefix]))


def probabilities(features: np.ndarray, knobs: KnobValues, prefix: str = "sure") -> np.ndarray:
    """Return the calibrated probability of each row of features, shape (n,).

    The one formula that programs serve and thresholds are chosen by.

    Args:
        features: shape (n, columns), the columns that ``COLUMNS`` names.
        knobs: weights of the features.
        prefix: of the model: ``sure``, ``sure_lm`` or ``fits``.
    """
    names = COLUMNS[prefix]
    found = []
    for row in features.tolist():
        values = dict(zip(names, row, strict=True))
        shift = knobs.sure_foreign * values.pop("foreign", 0.0)
        found.append(sigmoid(log_odds(prefix, tuple(values), values, knobs) + shift))
    return np.array(found, dtype=float)


def log_odds(
    prefix: str, names: Sequence[str], values: Mapping[str, float | None], knobs: KnobValues
) -> float:
    """Return a logistic model's log-odds; missing values are neutral."""
    return getattr(knobs, f"{prefix}_bias") + math.fsum(
        getattr(knobs, f"{prefix}_{name}") * (values[name] or 0.0) for name in names
    )


def sigmoid(x: float) -> float:
    """Return the logistic function, without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _agreement(orders: Sequence[str | None]) -> float | None:
    """Return +1 or -1, None where there is nothing to compare."""
    if len(orders) < 2 or None in orders:
        return None
    return 1.0 if len(set(orders)) == 1 else -1.0


def _slot_margin(belief: Mapping[str, float]) -> float:
    first, second = sorted(belief.values(), reverse=True)[:2]
    return math.log(max(first, CONFIDENCE_FLOOR) / max(second, CONFIDENCE_FLOOR))
