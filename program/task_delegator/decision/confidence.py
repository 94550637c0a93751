"""Calibrated probabilities, from features: P(correct) and P(some agent fits).

Logistic models over a handful of features (Platt, Probabilistic Outputs for Support
Vector Machines, 1999); their weights are knobs, fitted on labeled requests by
``optimize calibrate``. A feature that is missing is None and counts as neutral.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import dspy
import numpy as np

from ..delegation import Candidate, Decision, Features, Signals
from ..knobs import KnobValues, Thresholds
from ..prediction import FrozenPrediction
from .probability import CONFIDENCE_FLOOR

_Number = TypeVar("_Number", float, np.ndarray)
_SIGNALS = tuple(field.name for field in fields(Signals))


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

    def confidence_in(self, decision: Decision) -> float:
        """Return the probability that a decision's finding is right: the agent, or that none is."""
        return 1.0 - self.in_scope_score if decision == "none" else self.confidence


@dataclass(frozen=True, slots=True)
class LMAnswers:
    """What an LM answered that counts in the confidence.

    Attributes:
        belief: its probability per agent; None where it was not asked, or has no weight.
        none: its probability that no agent fits; None as there.
        picks: the likeliest agent in each order that it was shown, None where that is nobody.
        rubric: its own confidence, 1..5; None where it was not asked for.
    """

    belief: Mapping[str, float] | None = field(default=None, hash=False)
    none: float | None = None
    picks: tuple[str | None, ...] = ()
    rubric: int | None = None


UNASKED = LMAnswers()


class AssessConfidence(dspy.Module):
    """Turn evidence into P(first place is right) and P(some agent fits).

    The stage of a delegation, as traces show it.
    """

    def forward(
        self,
        candidates: Sequence[Candidate],
        signals: Signals,
        knobs: KnobValues,
        answers: LMAnswers = UNASKED,
        *,
        unsupported_language: bool = False,
        scoped: bool = True,
    ) -> Assessment:
        """Return what ``assess_confidence`` does."""
        return assess_confidence(
            candidates,
            signals,
            knobs,
            answers,
            unsupported_language=unsupported_language,
            scoped=scoped,
        )

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Assessment:
            """Return what ``forward`` does."""
            ...


def assess_confidence(
    candidates: Sequence[Candidate],
    signals: Signals,
    knobs: KnobValues,
    answers: LMAnswers = UNASKED,
    *,
    unsupported_language: bool = False,
    scoped: bool = True,
) -> Assessment:
    """Return the confidence in the first place, and whether some agent fits.

    Args:
        candidates: the posterior, best first, one at least.
        signals: of retrieval.
        knobs: weights of the features.
        answers: of an LM.
        unsupported_language: whether the embedder does not support the task's language.
        scoped: as for ``confidence_of``.
    """
    features = assemble(candidates, signals, answers, unsupported_language=unsupported_language)
    with_lm = answers.belief is not None
    return Assessment(
        confidence=confidence_of(signals, features, knobs, with_lm=with_lm, scoped=scoped),
        in_scope_score=in_scope_probability(signals, features, knobs, with_lm=with_lm),
        features=features,
    )


def assemble(
    candidates: Sequence[Candidate],
    signals: Signals,
    answers: LMAnswers = UNASKED,
    *,
    unsupported_language: bool = False,
) -> Features:
    """Return the features of a posterior, best candidate first, and of an LM's answers.

    Of a lone candidate the posterior says nothing: it has no rival.
    """
    lone = len(candidates) < 2
    first = _bounded(candidates[0].probability)
    second = 0.0 if lone else candidates[1].probability
    return Features(
        logit=0.0 if lone else math.log(first / (1 - first)),
        margin=0.0 if lone else math.log(first / min(max(second, CONFIDENCE_FLOOR), first)),
        agreement=signals.agreement,
        similarity=signals.similarity,
        description=signals.description,
        sample=signals.sample,
        head_margin=signals.head_margin,
        maxsim=signals.maxsim,
        unsupported_language=float(unsupported_language),
        slot_margin=_slot_margin(answers.belief),
        none_logit=None if answers.none is None else _logit(answers.none),
        order_agreement=_order_agreement(answers.picks),
        rubric=None if answers.rubric is None else float(answers.rubric - 3),
    )


def confidence_of(
    signals: Signals,
    features: Features,
    knobs: KnobValues,
    *,
    with_lm: bool = False,
    scoped: bool = True,
) -> float:
    """Return P(the first place is right), 0..1, over all requests that come.

    The one formula that programs serve and thresholds are chosen by: P(it is right if any agent
    fits), times P(some agent fits) where that is fitted to a share of requests that none fits.

    Args:
        signals: of retrieval.
        features: of the first place.
        knobs: weights of both.
        with_lm: whether the LM answered; that case has separate weights.
        scoped: whether P(some agent fits) was fitted for these agents; where it was not, the
            confidence is that in the first place if any agent fits.
    """
    right = correct_probability(features, knobs, with_lm=with_lm)
    if not (scoped and _counts_scope(knobs, with_lm=with_lm)):
        return right
    return right * in_scope_probability(signals, features, knobs, with_lm=with_lm)


def at_even_odds(confidence: _Number, in_scope: _Number, share: float | None) -> _Number:
    """Return a confidence as it would be if half of the requests were for nobody.

    That tells a right first place from a request whose agent is missing better than the confidence
    as it is, which takes few such requests for granted: the odds that some agent fits weigh more
    (their likelihood ratio is the best there is: Neyman and Pearson, 1933).

    Args:
        confidence, in_scope: P(the first place is right) and P(some agent fits), 0..1; numbers or
            arrays, shape (n,).
        share: of the requests, how many both take to be for nobody; None where that is no part of
            the confidence, which then stays as it is.

    Returns:
        0..1, shape as given.
    """
    if not share or share >= 1:
        return confidence
    fits, none = 0.5 / (1 - share), 0.5 / share  # Bayes: even odds in place of those of the share
    return confidence * fits / (in_scope * fits + (1 - in_scope) * none)


def above_floor(confidence: _Number, in_scope: _Number, thresholds: Thresholds) -> Any:
    """Tell whether a confidence reaches the floor of an assignment; arguments as there.

    Returns:
        bool, shape as given.
    """
    floor = 0.0 if thresholds.floor is None else thresholds.floor
    return at_even_odds(confidence, in_scope, thresholds.share) >= floor


def _counts_scope(knobs: KnobValues, *, with_lm: bool) -> bool:
    """Tell whether P(some agent fits) is a part of the confidence."""
    scope = knobs.scope
    return (scope.share_with_lm if with_lm else scope.share) is not None


def correct_probability(features: Features, knobs: KnobValues, *, with_lm: bool = False) -> float:
    """Return P(the first place is right, if any agent fits), 0..1.

    Args:
        features: of the first place.
        knobs: weights of the features.
        with_lm: whether the LM answered; that case has separate weights.
    """
    model = knobs.confidence.correct_with_lm if with_lm else knobs.confidence.correct
    shift = knobs.confidence.unsupported_language * features.unsupported_language
    return sigmoid(model.log_odds({n: getattr(features, n) for n in model.features()}) + shift)


def in_scope_probability(
    signals: Signals, features: Features, knobs: KnobValues, *, with_lm: bool = False
) -> float:
    """Return P(some agent fits), 0..1, from the signals of retrieval and the LM's "none"."""
    model = knobs.scope.in_scope_with_lm if with_lm else knobs.scope.in_scope
    return sigmoid(model.log_odds(in_scope_features(signals, features)))


def in_scope_features(signals: Signals, features: Features) -> dict[str, float | None]:
    """Return what P(some agent fits) reads, by name."""
    seen = {name: getattr(signals, name) for name in _SIGNALS}
    return seen | {name: getattr(features, name) for name in ("logit", "margin", "none_logit")}


def sigmoid(x: float) -> float:
    """Return the logistic function, without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _bounded(probability: float) -> float:
    return min(max(probability, CONFIDENCE_FLOOR), 1 - CONFIDENCE_FLOOR)


def _logit(probability: float) -> float:
    p = _bounded(probability)
    return math.log(p / (1 - p))


def _order_agreement(picks: Sequence[str | None]) -> float | None:
    """Return +1 or -1, None where there is nothing to compare."""
    if len(picks) < 2 or None in picks:
        return None
    return 1.0 if len(set(picks)) == 1 else -1.0


def _slot_margin(belief: Mapping[str, float] | None) -> float | None:
    """Return the logarithm of the first over the second, None where there are no two."""
    if belief is None or len(belief) < 2:
        return None
    first, second = sorted(belief.values(), reverse=True)[:2]
    return math.log(max(first, CONFIDENCE_FLOOR) / max(second, CONFIDENCE_FLOOR))
