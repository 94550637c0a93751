"""Knobs: every number of a compiled program, in groups, with types and ranges."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from dspy.predict.parameter import Parameter
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Weight = Annotated[float, Field(ge=-1e4, le=1e4)]  # of a feature in a logistic model
ChannelWeight = Annotated[float, Field(ge=0, le=100)]
Probability = Annotated[float, Field(ge=0, le=1)]
MOST_PASSAGES = 16  # of an agent, some 10,000 characters


class KnobGroup(BaseModel):
    """A frozen group of numbers, each finite, of its type and within its range."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RetrievalKnobs(KnobGroup):
    """Channels, index and posterior (found by ``optimize search``).

    Attributes:
        k: agents on the shortlist, 2 to 19 (the LM's slots).
        bm25, chars, description, sample_best, sample_mean, head, maxsim, maxsim_reverse:
            weights of the channels.
        bm25_k1, bm25_b: BM25's saturation and length normalization.
        head_c: inverse regularization of the linear head.
        passages: passages of instructions and tools that are read of an agent at most; 0 none.
        passages_beside_samples: whether agents that have samples are read so too.
        temperature: of the posterior over agents; smaller is surer.
        rerank: weight of the reranker's score in the log-posterior; with 0 none is needed.
        reranked: best agents that it reads.
        rerank_below: it reads tasks whose first place has a posterior below this; None all.
    """

    k: Annotated[int, Field(ge=2, le=19)] = 8
    bm25: ChannelWeight = 0.25
    chars: ChannelWeight = 0.3
    description: ChannelWeight = 0.1
    sample_best: ChannelWeight = 0.1
    sample_mean: ChannelWeight = 0.0
    head: ChannelWeight = 0.75
    maxsim: ChannelWeight = 0.75
    maxsim_reverse: ChannelWeight = 0.5
    bm25_k1: Annotated[float, Field(gt=0, le=100)] = 1.5
    bm25_b: Probability = 0.75
    head_c: Annotated[float, Field(ge=1e-4, le=1e6)] = 10.0
    passages: Annotated[int, Field(ge=0, le=MOST_PASSAGES)] = 4
    passages_beside_samples: bool = False
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    rerank: ChannelWeight = 0.0
    reranked: Annotated[int, Field(ge=2, le=64)] = 10
    rerank_below: Probability | None = None

    def weight(self, channel: str) -> float:
        """Return the weight of a channel."""
        return getattr(self, channel)


class ExpansionKnobs(KnobGroup):
    """Query expansion, for tasks that the gate lets through.

    Attributes:
        phrasings: further phrasings that the LM writes, 0 to 5.
        hyde: whether the LM also describes the ideal agent (HyDE, Gao et al., 2023).
        weight: of the expansions beside the task, 0 to 1.
    """

    phrasings: Annotated[int, Field(ge=0, le=5)] = 0
    hyde: bool = False
    weight: Probability = 0.3


class LMKnobs(KnobGroup):
    """When the LM is asked, and what its answer counts for (found by ``optimize compile``).

    Attributes:
        gate: the LM is asked where the certainty of retrieval's decision is below this and
            nothing settles it; None never. The one knob that trades LM calls for quality.
        ask_settled: ask about every task, also where the answer cannot change the decision;
            for fitting.
        shortlist: agents that the LM is shown, 2 to 19.
        card: what it sees of each: ``brief`` (a line), ``standard`` (description, use, three
            samples) or ``full`` (instructions, tools, every sample).
        prompt_tokens: estimated tokens that the shortlist may take; what does not fit is left
            out from the end.
        answer: ``slot`` (log-probabilities, or ``repeats``) or ``ranking`` (the three best with
            probabilities in one structured answer, for LMs without log-probabilities).
        explain: have the LM add a rating from 1 to 5 and a reason to that answer, for reviewers.
        weight: of the LM's log-probabilities beside retrieval's.
        orders: shortlist orders shown to the LM at most, 1 or 2 (reversed): two cancel the
            LM's preference for a place.
        second_order_margin: the second order is asked where the logarithm of first over second
            place is below this after the first answer; None always.
        prior: power of the LM's content-free slot prior that is divided out, 0 to 1.
        repeats: answers asked of an LM without log-probabilities, 0 to 20; 0 has it write a
            distribution instead.
        rubric_low, rubric_high: the rubric is asked at confidences from low to below high.
    """

    gate: Probability | None = None
    ask_settled: bool = False
    shortlist: Annotated[int, Field(ge=2, le=19)] = 12
    card: Literal["brief", "standard", "full"] = "standard"
    prompt_tokens: Annotated[int, Field(ge=200, le=1_000_000)] = 6000
    answer: Literal["slot", "ranking"] = "slot"
    explain: bool = False
    weight: ChannelWeight = 0.0
    orders: Annotated[int, Field(ge=1, le=2)] = 2
    second_order_margin: Annotated[float | None, Field(ge=0)] = None
    prior: Probability = 0.0
    repeats: Annotated[int, Field(ge=0, le=20)] = 3
    rubric_low: Probability = 0.0
    rubric_high: Probability = 0.0


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
        assign_floor: least confidence to assign whatever precision is aimed at: few requests
            reach it whose right agent is missing. None for no such limit.
        threshold: below this probability the decision is ``none``; None never says so.
        share_with_lm, assign_floor_with_lm, threshold_with_lm: the same where the LM was asked.
    """

    in_scope: InScopeWeights = InScopeWeights()
    in_scope_with_lm: InScopeWithLMWeights = InScopeWithLMWeights()
    share: Probability | None = None
    share_with_lm: Probability | None = None
    assign_floor: Probability | None = None
    assign_floor_with_lm: Probability | None = None
    threshold: Probability | None = None
    threshold_with_lm: Probability | None = None


class SplitKnobs(KnobGroup):
    """When a plan has several steps (found by ``optimize plans``).

    Attributes:
        several: weights of P(a task needs several agents).
        threshold: least such probability to split a task; None never splits.
        use_lm: whether the LM, if there is one, splits instead.
    """

    several: SeveralWeights = SeveralWeights()
    threshold: Probability | None = None
    use_lm: bool = False


# What programs had no number for before; without it they decide as they did.
_LATER = frozenset(
    [f"confidence.{model}.{name}" for model in ("correct", "correct_with_lm")
     for name in ("description", "sample", "head_margin", "maxsim")]
    + [f"scope.{model}.{name}" for model in ("in_scope", "in_scope_with_lm")
       for name in ("margin", "agreement", "similarity", "head_logit", "chars", "sample_mean")]
    + [f"scope.{name}{asked}" for name in ("share", "assign_floor") for asked in ("", "_with_lm")]
    + ["retrieval.rerank", "retrieval.reranked", "retrieval.rerank_below"]
    + ["scope.in_scope.rerank", "scope.in_scope_with_lm.rerank"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a decision compares its probabilities with.

    Attributes:
        assign: least confidence to assign; None never assigns.
        in_scope: least P(some agent fits); None never says that none fits.
    """

    assign: float | None
    in_scope: float | None


class KnobValues(KnobGroup):
    """Every number of a compiled program, in groups; the defaults are the uncompiled program."""

    retrieval: RetrievalKnobs = RetrievalKnobs()
    expansion: ExpansionKnobs = ExpansionKnobs()
    lm: LMKnobs = LMKnobs()
    confidence: ConfidenceKnobs = ConfidenceKnobs()
    scope: ScopeKnobs = ScopeKnobs()
    split: SplitKnobs = SplitKnobs()

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> "KnobValues":
        """Return the values of a saved state, in groups; none may be unknown or missing.

        But for those of ``_LATER``, which older programs of this format do not have.

        Raises:
            ValueError: a name is unknown or missing, or a number is of the wrong type or out
                of range; one line.
        """
        names, known = set(dict(_leaves(state))), set(cls().flat())
        if odd := (names ^ known) - (_LATER - names):
            odd = ", ".join(sorted(odd))
            raise ValueError(f"these knobs are unknown or missing: {odd}")
        try:
            return cls.model_validate(state)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise ValueError(f"knob {name}={first['input']!r}: {first['msg']}") from error

    def flat(self) -> dict[str, float | int | bool | None]:
        """Return every number by its dotted name, such as ``retrieval.k``."""
        return dict(_leaves(self.model_dump()))

    def replaced(self, changes: Mapping[str, Any]) -> "KnobValues":
        """Return a copy with other numbers.

        Args:
            changes: by dotted name, such as ``{"retrieval.k": 12}``.

        Raises:
            ValueError: a name is unknown, or a number is of the wrong type or out of range.
        """
        state = self.model_dump()
        for name, value in changes.items():
            *groups, last = name.split(".")
            group = state
            for part in groups:
                group = group.get(part) if isinstance(group, dict) else None
            if not isinstance(group, dict) or last not in group:
                raise ValueError(f"the knob {name} is unknown")
            group[last] = value
        return self.read(state)

    def thresholds(self, *, with_lm: bool = False) -> Thresholds:
        """Return the thresholds of a decision, with the LM asked or without."""
        confidence, scope = self.confidence, self.scope
        assign, floor = confidence.assign_threshold, scope.assign_floor
        if with_lm:
            assign, floor = confidence.assign_threshold_with_lm, scope.assign_floor_with_lm
        if assign is not None and floor is not None:
            assign = max(assign, floor)
        return Thresholds(assign, scope.threshold_with_lm if with_lm else scope.threshold)

    def without_writing(self) -> "KnobValues":
        """Return a copy for an LM that decides and writes nothing: no expansion, no rubric."""
        return self.replaced(
            {
                "expansion.phrasings": 0,
                "expansion.hyde": False,
                "lm.rubric_low": 0.0,
                "lm.rubric_high": 0.0,
            }
        )


class Knobs(Parameter):
    """Carry ``KnobValues`` as a DSPy parameter: in every state, out of ``named_predictors``."""

    def __init__(self, values: KnobValues | None = None) -> None:
        self.values = values or KnobValues()

    def set(self, changes: Mapping[str, Any]) -> None:
        """Replace some of the numbers, by dotted name, such as ``{"lm.gate": 0.5}``."""
        self.values = self.values.replaced(changes)

    def reset(self) -> None:
        """Keep the values: an optimizer's fresh copy retrieves like the original."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return the numbers as plain JSON, in groups."""
        return self.values.model_dump()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over saved numbers; every name must be known and none may be missing."""
        self.values = KnobValues.read(state)


class LearnedSamples(Parameter):
    """Carry labeled requests that serve as further samples of their agents.

    The demos of retrieval: ``compile --samples-from-train N`` fills it, agents that a
    registry does not have are ignored.
    """

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, ...]] = {}

    def reset(self) -> None:
        """Keep the samples: an optimizer's fresh copy retrieves like the original."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Return the requests by agent name as plain JSON."""
        return {name: list(requests) for name, requests in self.values.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over saved requests."""
        self.values = {name: tuple(requests) for name, requests in state.items()}


def _leaves(group: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in group.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
