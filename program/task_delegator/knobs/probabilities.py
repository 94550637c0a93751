"""Knobs of the probabilities that decide: weights of logistic models, and thresholds."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated

from pydantic import Field

from .group import ChannelWeight, KnobGroup, Probability, Weight


class LogisticKnobs(KnobGroup):
    """Weights of a logistic model; a feature that is missing counts as neutral."""

    bias: Weight = 0.0

    @classmethod
    @cache
    def features(cls) -> tuple[str, ...]:
        """Return the names of the features that have a weight."""
        return tuple(name for name in cls.model_fields if name != "bias")

    def log_odds(self, features: Mapping[str, float | None]) -> float:
        """Return the model's log-odds for features by name."""
        return self.bias + math.fsum(
            getattr(self, name) * (features.get(name) or 0.0) for name in self.features()
        )


class CorrectWeights(LogisticKnobs):
    """P(the first place is right | some agent fits), from retrieval alone."""

    logit: Weight = 1.0
    margin: Weight = 0.0
    agreement: Weight = 0.0
    similarity: Weight = 0.0
    description: Weight = 0.0
    sample: Weight = 0.0
    head_margin: Weight = 0.0
    maxsim: Weight = 0.0


class CorrectWithLMWeights(CorrectWeights):
    """The same after the LM was asked."""

    slot_margin: Weight = 0.0
    order_agreement: Weight = 0.0
    rubric: Weight = 0.0


class InScopeWeights(LogisticKnobs):
    """P(some agent fits)."""

    description: Weight = 0.0
    sample: Weight = 0.0
    head_margin: Weight = 0.0
    head_logit: Weight = 0.0
    chars: Weight = 0.0
    sample_mean: Weight = 0.0
    maxsim: Weight = 0.0
    logit: Weight = 0.0
    margin: Weight = 0.0
    agreement: Weight = 0.0
    similarity: Weight = 0.0
    rerank: Weight = 0.0


class InScopeWithLMWeights(InScopeWeights):
    """The same after the LM was asked, which may have said that none fits."""

    none_logit: Weight = 0.0


class SeveralWeights(LogisticKnobs):
    """P(a task needs several agents), without an LM."""

    weakest_part: Weight = 0.0
    maxsim_gain: Weight = 0.0
    cues: Weight = 0.0
    among_best: Weight = 0.0


class ConfidenceKnobs(KnobGroup):
    """Confidence in the first place (found by ``optimize calibrate``).

    Attributes:
        correct, correct_with_lm: weights where no LM was asked, and where one was.
        unsupported_language: what an unsupported language adds to the log-odds.
        assign_threshold: least confidence to assign; None never assigns.
        assign_threshold_with_lm: the same where the LM was asked.
    """

    correct: CorrectWeights = CorrectWeights()
    correct_with_lm: CorrectWithLMWeights = CorrectWithLMWeights()
    unsupported_language: Weight = 0.0
    assign_threshold: Probability | None = 0.9
    assign_threshold_with_lm: Probability | None = 0.9


class ScopeKnobs(KnobGroup):
    """Whether any agent fits (found by ``optimize calibrate``).

    Attributes:
        in_scope: weights of P(some agent fits).
        in_scope_with_lm: the same where the LM was asked.
        share: of the requests, how many nobody can serve; P(some agent fits) is fitted to it, and
            is part of the confidence. None: it is fitted to no share, and no part of it.
        even_odds_floor: least confidence to assign whatever precision is aimed at, as it would
            be if half of the requests were for nobody: few requests reach it whose right agent is
            missing. None for no such limit.
        assign_floor: the same of the confidence as it is, in programs of before; None in others.
        threshold: below this probability the decision is ``none``; None never says so.
        share_with_lm, even_odds_floor_with_lm, assign_floor_with_lm, threshold_with_lm: the same
            where the LM was asked. None for ``share_with_lm``: P(some agent fits) is no part of
            the confidence, whatever share it is fitted to.
    """

    in_scope: InScopeWeights = InScopeWeights()
    in_scope_with_lm: InScopeWithLMWeights = InScopeWithLMWeights()
    share: Probability | None = None
    share_with_lm: Probability | None = None
    even_odds_floor: Probability | None = None
    even_odds_floor_with_lm: Probability | None = None
    assign_floor: Probability | None = None
    assign_floor_with_lm: Probability | None = None
    threshold: Probability | None = None
    threshold_with_lm: Probability | None = None


class SplitKnobs(KnobGroup):
    """When a plan has several steps (found by ``optimize plans``).

    Attributes:
        several: weights of P(a task needs several agents).
        threshold: least such probability to split a task; None never splits.
        review_threshold: least such probability to hand a task to a person that one agent would
            be assigned; None for no such limit.
        use_lm: whether the LM, if there is one, splits instead.
    """

    several: SeveralWeights = SeveralWeights()
    threshold: Probability | None = None
    review_threshold: Probability | None = None
    use_lm: bool = False


class TransferWeights(InScopeWeights):
    """A probability of a task in a registry that was never seen."""

    described: Weight = 0.0
    described_ahead: Weight = 0.0
    log_agents: Weight = 0.0
    sampled: Weight = 0.0
    sampled_description: Weight = 0.0
    sampled_sample: Weight = 0.0
    first_sampled: Weight = 0.0
    first_bare: Weight = 0.0


class TransferKnobs(KnobGroup):
    """Confidence in registries that a program was not calibrated for (``optimize transfer``).

    Attributes:
        right: weights of P(the first place is right and some agent fits), fitted on many small
            registries with these weights of retrieval.
        fits: weights of P(some agent fits), fitted on the same.
        assign_threshold: least confidence to assign there; None never assigns.
        none_threshold: below this P(some agent fits) the decision is ``none``; None never says so.
        least_agents, most_agents: sizes of the registries that it is believed in.
        lm_weight: of an LM's log-probabilities beside retrieval's, where no compilation measured
            it; with 0 it is not asked there.
    """

    right: TransferWeights = TransferWeights()
    fits: TransferWeights = TransferWeights()
    assign_threshold: Probability | None = None
    none_threshold: Probability | None = None
    least_agents: Annotated[int, Field(ge=2)] = 3
    most_agents: Annotated[int, Field(ge=2)] = 150
    lm_weight: ChannelWeight = 0.0
