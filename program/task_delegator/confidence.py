"""AssessConfidence: evidence of the stages to calibrated probabilities.

Logistic models over a handful of features (Platt, Probabilistic Outputs for Support
Vector Machines, 1999); their numbers are knobs, fitted on labelled requests by
``optimize calibrate``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import dspy

from .delegation import Candidate
from .knobs import KnobValues
from .retrieve import Signals

_LEAST = 1e-6  # probabilities are kept this far from 0 and 1 before taking logarithms


@dataclass(frozen=True, slots=True)
class Sureness:
    """What the posterior over agents says about its own first place.

    Attributes:
        logit: log-odds of the first place.
        margin: logarithm of first over second place; 0 where they tie.
    """

    logit: float
    margin: float


class AssessConfidence(dspy.Module):
    """Turn a posterior and signals into P(first place is right) and P(some agent fits)."""

    def forward(
        self,
        candidates: Sequence[Candidate],
        signals: Signals,
        knobs: KnobValues,
        lm_asked: bool,
    ) -> dspy.Prediction:
        """Return ``confidence`` and ``fits``, both 0..1, and the ``sureness`` behind them.

        At least one candidate is needed.
        """
        features = sureness(candidates)
        bias, logit, margin = (
            (knobs.sure_lm_bias, knobs.sure_lm_logit, knobs.sure_lm_margin)
            if lm_asked
            else (knobs.sure_bias, knobs.sure_logit, knobs.sure_margin)
        )
        return dspy.Prediction(
            sureness=features,
            confidence=sigmoid(bias + logit * features.logit + margin * features.margin),
            fits=sigmoid(
                knobs.fits_bias
                + knobs.fits_description * signals.description
                + knobs.fits_sample * signals.sample
                + knobs.fits_head * signals.head
            ),
        )


def sureness(candidates: Sequence[Candidate]) -> Sureness:
    """Return the features of a posterior, best candidate first."""
    first = min(max(candidates[0].probability, _LEAST), 1 - _LEAST)
    second = candidates[1].probability if len(candidates) > 1 else 0.0
    return Sureness(
        logit=math.log(first / (1 - first)),
        margin=math.log(first / min(max(second, _LEAST), first)),
    )


def sigmoid(x: float) -> float:
    """Return the logistic function, without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
