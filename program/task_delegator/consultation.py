"""What is believed of a task after the LM was asked, where it was."""

from collections.abc import Sequence

from .decision import (
    Assessment,
    Coverage,
    Doubts,
    probabilities_of_lm,
    transferred,
    transfers,
)
from .delegation import (
    CalibratedBy,
    Candidate,
    Decision,
    Evidence,
    GateEvidence,
    LMEvidence,
    LMFailure,
    RetrievalEvidence,
    Withheld,
)
from .knobs import KnobValues, LMKnobs, Thresholds
from .lm import Fault
from .prediction import FrozenPrediction
from .registry import Agent, Registry
from .retrieval import Query, Retrieval
from .signatures import SLOTS
from .stages import Classification, Shortlist, estimate_tokens
from .text import printable

UNREADABLE = LMFailure("unreadable", "the LM answered, but nothing that can be read as an answer")
_CAPS: dict[Withheld, str] = {
    "share": "other tasks take up the share that it may be asked about",
    "calls": "it was called as often as was allowed",
}
# Faults that say nothing of this task's call.
_NOT_SENT: dict[Fault, str] = {
    "paused": "it failed before and is left alone for a while",
    "overloaded": "too many of its calls hang",
}
_FORMAT_TOKENS = 500  # of the adapter's instructions and the answer


class Consultation(FrozenPrediction):
    """What is believed of a task in the end, after the LM where it was asked.

    Attributes:
        found: what retrieval found, the expansions included.
        candidates: the posterior after the LM was asked, best first.
        assessment: the confidence in the first of them.
        gate: why the LM was asked or not.
        coverage: for whom of the best agents the program was calibrated.
        said: what the LM said; None where it was not asked.
        with_lm: whether its answer has a weight, so that other thresholds hold.
        failure: how the LM failed; None where it did not.
        calls: LM calls that it took.
        transferred: whether the confidence is that of other registries, as the program was not
            calibrated for this one.
    """

    found: Retrieval
    candidates: tuple[Candidate, ...]
    assessment: Assessment
    gate: GateEvidence
    coverage: Coverage
    said: LMEvidence | None = None
    with_lm: bool = False
    failure: LMFailure | None = None
    calls: int = 0
    transferred: bool = False

    def thresholds(self, knobs: KnobValues) -> Thresholds:
        """Return what the decision compares the probabilities with."""
        least = knobs.transfer.assign_threshold
        if self.at_its_word and least is not None:
            own = None if self.transferred else knobs.confidence.assign_threshold
            # "none" as surely as an assignment
            return Thresholds(max(least, own or 0.0), min(1.0 - least, 0.5))
        if self.transferred:
            return Thresholds(least, knobs.transfer.none_threshold)
        return knobs.thresholds(with_lm=self.with_lm)

    @property
    def at_its_word(self) -> bool:
        """Whether an LM was heard that nobody measured for these agents."""
        return self.with_lm and self.coverage.takes_lm_at_its_word

    @property
    def source(self) -> CalibratedBy | None:
        """Whose the confidence is where it is not the program's own."""
        if self.at_its_word:
            return "lm"
        return "registries" if self.transferred else None

    @property
    def first(self) -> Agent:
        """The likeliest agent."""
        name = self.candidates[0].name
        return next(agent for agent in self.found.agents if agent.name == name)


def transfer(alone: Assessment, found: Retrieval, knobs: KnobValues) -> Assessment | None:
    """Return an assessment by what other registries showed, None where that does not hold.

    The caller's agents are the registry: whom others may use changes nothing, nor does it show. It
    was fitted where a fifth of the requests are for agents that are not there. Where the caller
    excludes some, more may be.
    """
    index = found.index
    if index is None or not transfers(len(index.names), knobs):
        return None
    if len(index.hidden) or found.choice.excluded(index.names):
        return None
    sampled = float(index.has_samples.mean())
    return transferred(alone, found.signals, len(index.names), sampled, knobs)


def taken_at_its_word(
    assessment: Assessment,
    candidates: Sequence[Candidate],
    belief: Classification,
) -> Assessment:
    """Return an assessment with what the LM says, where nobody measured how right it is.

    Args:
        assessment: of the candidates, by another scale.
        candidates: the posterior that the LM's belief was pooled with, best first.
        belief: what the LM said.
    """
    first = belief.probabilities.get(candidates[0].name, 0.0)
    right, fits = probabilities_of_lm(first, belief.none, belief.mass)
    return assessment.copy(confidence=right, in_scope_score=fits)


def lm_shortlist(
    found: Retrieval, query: Query, knobs: LMKnobs, context: int | None = None, prompt: str = ""
) -> Shortlist:
    """Return the best agents as the LM is shown them, within its budget of tokens.

    Args:
        found: what retrieval found.
        query: the task as retrieval read it.
        knobs: how many agents, how much of each, and how many tokens they may take.
        context: tokens that the LM reads and writes at most; None where that is not known.
        prompt: what the prompt holds beside the shortlist and the task.
    """
    agents, left_out = _shortlist(found, knobs.shortlist)
    samples = {} if found.index is None else found.index.nearest_samples(query, agents)
    budget = knobs.prompt_tokens
    if context is not None:
        budget = min(budget, context - estimate_tokens(prompt + query.shown) - _FORMAT_TOKENS)
    shown = Shortlist(agents, knobs.card, samples, left_out=left_out)
    return shown.within(max(budget, 0))


def _shortlist(found: Retrieval, number: int) -> tuple[tuple[Agent, ...], tuple[str, ...]]:
    """Return the best agents, and the names of those that the caller includes and have no slot.

    Whom the caller includes takes the place of the last of the others, and stands behind the best.
    """
    agents = found.agents
    included = found.choice.included([agent.name for agent in agents])
    most = min(max(number, len({0, *included})), len(SLOTS))
    chosen = list(dict.fromkeys([0, *included, *range(len(agents))]))[:most]
    behind = sorted(place for place in chosen[1:] if place < number)
    ahead = (place for place in chosen if place >= number)
    left_out = (agents[place].name for place in included if place not in chosen)
    return tuple(agents[place] for place in (0, *ahead, *behind)), tuple(left_out)


def ranked_agents(found: Retrieval, candidates: Sequence[Candidate]) -> list[Agent]:
    """Return the agents of candidates, in their order."""
    by_name = {agent.name: agent for agent in found.agents}
    return [by_name[c.name] for c in candidates if c.name in by_name]


def open_agents(registry: Registry) -> tuple[int, Sequence[Agent]]:
    """Return the registry's version and the agents that every caller may see, by name."""
    free = [agent for agent in registry if not agent.required_permissions]
    return registry.version, sorted(free, key=lambda agent: agent.name)


def evidence_of(
    belief: Classification, expansions: Sequence[str], rubric: int | None
) -> LMEvidence:
    """Return what the LM said, as a delegation shows it."""
    return LMEvidence(
        probabilities=belief.probabilities,
        none=belief.none,
        answers=belief.answers,
        expansions=tuple(expansions),
        left_out=belief.left_out,
        rubric=rubric,
        reason=belief.reason,
    )


def explain(reason: str, decision: Decision, advice: Consultation, several: bool) -> str:
    """Return the reason, for a reviewer with the LM's own behind it, or why it has none.

    The reviewer is told where a cap kept the LM from the task.
    Where the task seems to need several agents, it says how to get one for each part.
    """
    if several:
        reason = f"{reason} The task seems to need several agents: `plan` looks at its parts."
    if decision != "review":
        return reason
    if advice.failure is not None:
        fault = advice.failure.fault
        if fault in _NOT_SENT:
            return f"{reason} The LM was not asked: {_NOT_SENT[fault]}."
        return f"{reason} The LM failed: {fault}."
    if advice.gate.withheld is not None and advice.gate.settled is None:
        return f"{reason} The LM was not asked: {_CAPS[advice.gate.withheld]}."
    if advice.said is None:
        return reason
    if advice.coverage.takes_lm_at_its_word and (picked := advice.said.picked) not in (
        None,
        advice.first.name,
    ):
        reason = f"{reason} The LM is for {printable(str(picked))}."
    return f"{reason} The LM says: {advice.said.reason}" if advice.said.reason else reason


def collect_evidence(
    task: str,
    advice: Consultation,
    query: Query,
    coverage: Coverage,
    doubts: Doubts,
) -> Evidence:
    """Return what every stage saw of a task."""
    found, assessment = advice.found, advice.assessment
    return Evidence(
        ranking=tuple(candidate.name for candidate in advice.candidates),
        retrieval=RetrievalEvidence(found.candidates, found.z_scores, found.reranker_scores or {}),
        read_as=None if query.task == task else query.task,
        language=query.language,
        mentions=query.mentions,
        named=query.named,
        repeated_words=doubts.repeated_words,
        without_quoted=doubts.without_quoted,
        opposite=doubts.opposite,
        gate=advice.gate,
        lm=advice.said,
        lm_failure=advice.failure,
        signals=found.signals,
        features=assessment.features,
        correct_score=assessment.confidence,
        in_scope_score=assessment.in_scope_score,
        calibrated=coverage.complete and advice.source is None,
        calibrated_by=advice.source or (coverage.by if coverage.complete else None),
    )
