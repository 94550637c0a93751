"""Values of a delegation: Delegation, Plan, evidence, features, usage."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from dspy.utils.usage_tracker import UsageTracker

from .lm import Fault
from .prediction import FrozenPrediction, plain_json

Decision = Literal["assign", "review", "none"]
Settled = Literal["language", "uncalibrated"]
Withheld = Literal["share", "calls"]
CalibratedBy = Literal["labels", "samples", "registries", "lm"]

TOP = 3  # agents that every caller sees, best first
_MOST_TOKENS = 10**12  # that a provider may report of a call


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that retrieval proposes, with its share of the posterior (0..1)."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a delegation cost: LM calls, LM tokens (prompt and answer), seconds."""

    lm_calls: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Signals:
    """What retrieval sees beside the posterior: does anything fit, and do the channels agree?

    Attributes:
        description, sample: cosine of the closest description and sample.
        head_margin: of the head's first over its second place, in standard deviations of its
            best hundred; 0 where there is none. It is the same kind of number for either head and
            any number of agents; of two agents it is always 2.
        head_logit: of the first place, in units of the mean logit of the agents' own samples; 0
            where it has none.
        chars: cosine of character n-grams, the task's and the first place's.
        sample_mean: similarity of the task to the samples of the first place on average, in
            standard deviations above the mean of the best hundred agents.
        maxsim: share of the task that is found in those texts of one agent that were compared;
            the largest.
        agreement: share of the channels that put the same agent first as their fusion, 0..1.
        similarity: cosine of the descriptions of the two best agents; 0 where there is one.
        described: cosine of the task and the first place's description, less that of the closest
            description; 0 where they are the same.
        described_ahead: the same less that of the second place's; 0 where there is none.
        first_sampled: 1 where the first place has samples, else 0.
        rerank: the reranker's largest score; 0 where it was not asked.
    """

    description: float = 0.0
    sample: float = 0.0
    head_margin: float = 0.0
    head_logit: float = 0.0
    chars: float = 0.0
    sample_mean: float = 0.0
    maxsim: float = 0.0
    agreement: float = 0.0
    similarity: float = 0.0
    described: float = 0.0
    described_ahead: float = 0.0
    first_sampled: float = 0.0
    rerank: float = 0.0


@dataclass(frozen=True, slots=True)
class Features:
    """What the stages say about the first place; None where a stage was not asked.

    Attributes:
        logit: log-odds of the first place in the posterior.
        margin: logarithm of first over second place; 0 where they tie.
        agreement: share of the channels that put the same agent first, 0..1.
        similarity: cosine of the descriptions of the two best agents.
        description, sample, head_margin, maxsim: signals of retrieval (``Signals``).
        unsupported_language: 1 where the embedder does not support the task's language.
        slot_margin: logarithm of the LM's first over its second agent.
        none_logit: log-odds that no agent fits, as the LM says.
        order_agreement: whether the LM picked the same agent in both orders, +1 or -1.
        rubric: the LM's own confidence less 3, -2..2.
    """

    logit: float = 0.0
    margin: float = 0.0
    agreement: float = 0.0
    similarity: float = 0.0
    description: float = 0.0
    sample: float = 0.0
    head_margin: float = 0.0
    maxsim: float = 0.0
    unsupported_language: float = 0.0
    slot_margin: float | None = None
    none_logit: float | None = None
    order_agreement: float | None = None
    rubric: float | None = None


@dataclass(frozen=True, slots=True)
class RetrievalEvidence:
    """What retrieval alone believes, the expansions of the task included.

    Attributes:
        posterior: best first.
        z_scores: per candidate and channel, in standard deviations above the mean of the
            channel's best hundred.
        reranker_scores: of the agents that the reranker read, by name; none where it was not
            asked.
    """

    posterior: tuple[Candidate, ...] = ()
    z_scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    reranker_scores: Mapping[str, float] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, the posterior by name."""
        return {
            "posterior": {c.name: c.probability for c in self.posterior},
            "z_scores": plain_json(self.z_scores),
            "reranker_scores": plain_json(self.reranker_scores),
        }


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """Why the LM was asked or not.

    Attributes:
        certainty: how sure retrieval is, 0..1: of its first place or of whether any agent fits,
            whichever is less.
        threshold: the LM is asked below it; None never.
        settled: what settled the decision before it was asked: the task's ``language``, or a
            registry that is ``uncalibrated``.
        withheld: what kept the LM from a task that it would have been asked about: the cap on the
            ``share`` of tasks, or the one on its ``calls``.
    """

    certainty: float = 0.0
    threshold: float | None = None
    settled: Settled | None = None
    withheld: Withheld | None = None


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """What the LM believes of the shortlist in one order.

    Attributes:
        probabilities: by name, in the order in which the agents were shown.
        none: probability that none of them fits.
        mass: share of the answer token's probability that the offered slots have; None
            without log-probabilities.
        source: where the belief comes from (``slots.SlotDistribution``).
        picked: the likeliest agent; None where that is nobody, or no answer could be read.
    """

    probabilities: Mapping[str, float] = field(hash=False)
    none: float
    mass: float | None
    source: str
    picked: str | None


@dataclass(frozen=True, slots=True)
class LMEvidence:
    """What the LM said.

    Attributes:
        probabilities: its belief by name, over all orders.
        none: its probability that no agent fits, mean over the orders.
        answers: its belief in each order that it was shown.
        expansions: texts that were retrieved beside the task.
        left_out: agents of the shortlist that did not fit into the prompt.
        rubric: its own confidence from 1 to 5; None where it was not asked.
        reason: why it chose, in its words; empty where it was not asked.
    """

    probabilities: Mapping[str, float] = field(hash=False)
    none: float
    answers: tuple[OrderAnswer, ...]
    expansions: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    rubric: int | None = None
    reason: str = ""

    @property
    def picked(self) -> str | None:
        """The likeliest agent; None where that is nobody."""
        first = max(self.probabilities, key=lambda name: self.probabilities[name], default=None)
        if first is None or self.probabilities[first] * (1.0 - self.none) < self.none:
            return None
        return first


@dataclass(frozen=True, slots=True)
class LMFailure:
    """How the LM failed where it was needed, so that a decision is retrieval's own.

    Attributes:
        fault: the kind of failure.
        message: what went wrong, on one line, without keys and texts that were sent.
    """

    fault: Fault
    message: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What every stage saw, for audit; the defaults are those of a caller without agents.

    Attributes:
        ranking: names of the candidates, highest first, after pooling with the LM.
        retrieval: what retrieval alone believes.
        read_as: the task as it was read with earlier ones; None where it was read alone.
        language: code of the task's language where the embedder does not support it, else None.
        mentions: agents that the task names; its text was read without those names.
        named: those that it names exactly and on purpose: they are on the shortlist.
        repeated_words: words of the task, without a gap, that repeat what the first agent says
            of itself; 0 where they are few.
        without_quoted: for whom a task is without the mails that it quotes, or without what it
            says is fine, where that is clear and somebody else; None elsewhere.
        opposite: what a task seems to ask for, and what the first agent is there for, where the
            one undoes the other; None elsewhere, and where an LM was heard.
        gate: why the LM was asked or not.
        lm: what the LM said; None where it was not asked.
        lm_failure: how the LM failed, so that retrieval alone was believed; None where it did not.
        signals: of retrieval.
        features: behind the confidence.
        correct_score: how likely it is that the first of the ranking is right, 0..1; the
            delegation's confidence unless the decision is ``none``.
        in_scope_score: how likely it is that some agent fits, 0..1, on the scale of the agents that
            the program was calibrated for: of others, such as where ``calibrated_by`` is
            ``registries``, it says little, and nothing is decided by it.
        calibrated: whether the confidence was calibrated on the caller's agents: on nine in ten of
            them, and on all that may be meant.
        calibrated_by: what on: ``labels`` (requests whose right agent is known), or ``samples``
            (the agents' own, each held out); where it was not, ``registries`` of others, or None.
            Where an LM was heard that nobody measured for these agents, ``lm``: its own word.
    """

    ranking: tuple[str, ...] = ()
    retrieval: RetrievalEvidence = RetrievalEvidence()
    read_as: str | None = None
    language: str | None = None
    mentions: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    repeated_words: int = 0
    without_quoted: str | None = None
    opposite: tuple[str, str] | None = None
    gate: GateEvidence = GateEvidence()
    lm: LMEvidence | None = None
    lm_failure: LMFailure | None = None
    signals: Signals = Signals()
    features: Features = Features()
    correct_score: float = 0.0
    in_scope_score: float = 0.0
    calibrated: bool = False
    calibrated_by: CalibratedBy | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the evidence as plain JSON values, the same keys for every delegation."""
        return {f.name: plain_json(getattr(self, f.name)) for f in fields(self)}


class Delegation(FrozenPrediction):
    """Say which agent should do a task, how sure that is, and what to do with it.

    A ``dspy.Prediction``, so that optimizers, usage tracking and traces take it as it is; its
    fields are fixed.

    Attributes:
        task: the task as it was given.
        decision: ``assign`` to ``agent``, let a person ``review`` it, or ``none``
            of the agents fits.
        agent: the best agent's name; None where none fits or none is permitted.
        top3: the three best agents, best first, with probabilities that sum to 1 over all
            permitted agents: who it is if it is one of them, not how sure that is.
        ranking: as many of the best agents as were asked for (``k``), likewise.
        confidence: calibrated probability (0..1) that the decision's finding is right: that the
            first of ``top3`` is the right agent; where the decision is ``none``, that no agent is.
        reason: one sentence for the person who reviews.
        rubric: the LM's own confidence from 1 (very low) to 5 (very high), where asked.
        several: probability (0..1) that the task needs several agents, as ``plan`` says it
            without an LM but sooner: from fewer cuts, read in the task's own pass; None where it
            holds no joint, such as a list or an "and".
        evidence: what every stage saw, for audit.
        usage: what it cost.
    """

    task: str
    decision: Decision
    agent: str | None
    top3: tuple[Candidate, ...]
    confidence: float
    reason: str
    rubric: int | None = None
    several: float | None = None
    ranking: tuple[Candidate, ...] = ()
    evidence: Evidence = Evidence()
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a plan.

    Attributes:
        number: from 1, in the order of the task.
        task: the part, in the words of the task.
        after: numbers of the steps that must be done before.
        delegation: who shall do it, with its own confidence and decision.
    """

    number: int
    task: str
    after: tuple[int, ...]
    delegation: Delegation


class Plan(FrozenPrediction):
    """Say which agents a task needs, for which part of it, and in which order.

    Attributes:
        task: the task as it was given.
        steps: one where one agent suffices, else one per part.
        several: probability (0..1) that the task needs several agents.
        source: who split it: ``lexical`` (clauses and retrieval scores) or ``lm``.
        lm_failure: how the LM failed that should have split it; None where it did not.
        usage: what it cost, the steps' delegations included.
    """

    task: str
    steps: tuple[Step, ...]
    several: float
    source: Literal["lexical", "lm"]
    lm_failure: LMFailure | None = None
    usage: Usage = Usage()

    @property
    def agents(self) -> tuple[str, ...]:
        """Best agent of each step, each once."""
        best = (step.delegation.top3[0].name for step in self.steps if step.delegation.top3)
        return tuple(dict.fromkeys(best))


def total_tokens(tracker: UsageTracker) -> int:
    """Return the tokens that all LMs of ``dspy.track_usage`` took, prompts and answers.

    What a provider reports that is no number of tokens counts as none.
    """
    parts = ("prompt_tokens", "completion_tokens")
    return sum(
        token_count(entry.get("total_tokens"))
        or sum(token_count(entry.get(part)) for part in parts)
        for entry in tracker.get_total_tokens().values()
    )


def nobody(task: str, seconds: float) -> Delegation:
    """Return what a caller gets who may use no agent, or excludes all of them."""
    return Delegation(
        task=task,
        decision="none",
        agent=None,
        top3=(),
        confidence=1.0,
        reason="No agent is available to this caller.",
        usage=Usage(seconds=seconds),
    )


def token_count(said: Any) -> int:
    """Return a number of tokens as a provider reports it; what is none counts as 0."""
    counts = isinstance(said, int | float) and not isinstance(said, bool)
    return int(said) if counts and 0 <= said < _MOST_TOKENS else 0
