"""Delegator: the whole program, from a task to a delegation."""

import logging
from collections.abc import Collection, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import dspy

from .consultation import Consultation, collect_evidence, evidence_of, explain, lm_shortlist
from .decision import (
    AssessConfidence,
    asks_lm,
    decide,
    decision_certainty,
    settled_by,
    weigh,
)
from .delegation import (
    Candidate,
    Delegation,
    GateEvidence,
    Plan,
    Step,
    Usage,
    total_tokens,
)
from .embedders import Embedder, embedder
from .errors import InputError
from .knobs import Knobs, KnobValues, LMKnobs
from .lm import context_tokens, language_model, writes
from .registry import Agent, Registry, description_text, permission_set
from .retrieval import IndexCache, Query, Retrieval, Retrieve
from .stages import (
    ClassifyAgent,
    DecomposeTask,
    ExpandQuery,
    PartScore,
    RateConfidence,
    Shortlist,
)
from .text import repeated_words
from .thread_lock import Lock

_log = logging.getLogger(__name__)

_CALLERS = 1024  # sets of permissions that are remembered
MAX_TASK_CHARACTERS = 20_000  # some 5,000 tokens: a task, not a document


class Delegator(dspy.Module):
    """Name the agent that should do a task, say how sure that is, and decide.

    Args:
        registry: the agents; later changes are followed.
        embed: the embedder; the packaged MiniLM where None.
        lm: the LM for hard tasks, or its spec, which is resolved when the first hard task
            comes. Where None, the LM that ``set_lm`` gave the predictors serves, else
            ``dspy.settings.lm``, and where that is None too, the program works without one.
        calibrated_for: digests of the agents that the confidence was calibrated on; None for
            any. Where a caller may use another, no task is assigned: a person reviews it.
    """

    def __init__(
        self,
        registry: Registry,
        embed: Embedder | None = None,
        lm: dspy.BaseLM | str | None = None,
        calibrated_for: frozenset[str] | None = None,
    ) -> None:
        super().__init__()
        if len(registry) == 0:
            raise InputError("the registry is empty: add at least one agent")
        self.knobs = Knobs()
        self.retrieve = Retrieve(IndexCache(registry, embed or embedder()))
        self.decompose = DecomposeTask()
        self.expand = ExpandQuery()
        self.classify = ClassifyAgent()
        self.rate = RateConfidence()
        self.assess = AssessConfidence()
        self._lm = lm
        self._calibrated_for = calibrated_for
        self._calibrated: dict[object, bool] = {}
        self._turn, self._resolving = Lock(), Lock()
        self._resolved: Any = None  # the LM that a spec named

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the LM that a spec named: it holds a key, and is found again."""
        return super().__getstate__() | {"_resolved": None}

    def set_lm(self, lm: Any) -> None:
        """Give every predictor an LM, which serves where the program itself was given none."""
        if lm is not None and self._lm is not None:
            _log.warning(
                "set_lm has no effect: the program was given an LM of its own; make or load it "
                "without one"
            )
            return
        super().set_lm(lm)

    @property
    def registry(self) -> Registry:
        """The agents; changes to it take effect at the next task."""
        return self.retrieve.library.registry

    def calibrated(self, permissions: Collection[str] | None = None) -> bool:
        """Tell whether the confidence was calibrated on every agent that a caller may use."""
        if self._calibrated_for is None:
            return True
        caller = permission_set(permissions)
        key = self.registry.version, caller
        with self._turn:
            if key not in self._calibrated:
                if len(self._calibrated) >= _CALLERS:
                    self._calibrated.clear()
                self._calibrated[key] = all(
                    agent.digest() in self._calibrated_for
                    for agent in self.registry
                    if agent.permits(caller)
                )
            return self._calibrated[key]

    def forward(
        self,
        task: str,
        permissions: Collection[str] | None = None,
        found: Retrieval | None = None,
    ) -> Delegation:
        """Delegate one task.

        Args:
            task: the task in plain words, 1 to 20,000 characters.
            permissions: what the caller may use; None for a caller without limits.
                Agents that need more are not ranked, prompted or returned.
            found: what ``retrieve`` found for this task and these permissions, where that is
                known (``plan``): the task is not read again.

        Raises:
            InputError: the task is empty or too long.
            LMError: the LM was needed and did not answer.
        """
        started = perf_counter()
        check_task(task)
        knobs = self.knobs.values
        with dspy.track_usage() as tracker:
            if found is None:
                found = self.retrieve(task=task, knobs=knobs, permissions=permissions)
            query = found.query
            if query is None:
                return _nobody(task, perf_counter() - started)
            calibrated = self.calibrated(permissions)
            advice = self._advise(found, query, knobs, calibrated)
        candidates, assessment = advice.candidates, advice.assessment
        repeated = repeated_words(task, description_text(advice.first))
        decision, reason = decide(
            candidates,
            assessment.confidence,
            assessment.in_scope_score,
            knobs.thresholds(with_lm=advice.heard),
            calibrated=calibrated,
            language=query.language,
            named=query.mentions,
            repeated=repeated,
        )
        return Delegation(
            task=task,
            decision=decision,
            agent=None if decision == "none" else advice.first.name,
            top3=candidates[:3],
            confidence=assessment.confidence,
            reason=explain(reason, decision, advice.said),
            rubric=advice.said.rubric if advice.said and decision == "review" else None,
            evidence=collect_evidence(advice, query, calibrated, repeated),
            usage=Usage(advice.calls, total_tokens(tracker), perf_counter() - started),
        )

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(
            self,
            task: str,
            permissions: Collection[str] | None = None,
            found: Retrieval | None = None,
        ) -> Delegation:
            """Delegate one task; see ``forward``."""
            ...

    def _advise(
        self, found: Retrieval, query: Query, knobs: KnobValues, calibrated: bool
    ) -> Consultation:
        """Judge what retrieval found, and consult the LM where that could change the decision."""
        alone = self.assess(
            found.candidates, found.signals, knobs, unsupported_language=query.language is not None
        )
        settled = settled_by(calibrated=calibrated, language=query.language)
        certainty = decision_certainty(alone.confidence, alone.in_scope_score, knobs.thresholds())
        advice = Consultation(
            found=found,
            candidates=found.candidates,
            assessment=alone,
            gate=GateEvidence(certainty, knobs.lm.gate, settled),
        )
        if not asks_lm(certainty, knobs.lm, settled) or (lm := self._language_model()) is None:
            return advice
        # DSPy would keep every prompt and answer of a service in memory.
        with dspy.context(lm=lm, disable_history=True):
            return self.consult(advice, query, knobs)

    def plan(self, task: str, permissions: Collection[str] | None = None) -> Plan:
        """Say which agents a task needs, for which part of it, and in which order.

        Args:
            task: the task in plain words, 1 to 20,000 characters.
            permissions: as for ``forward``.

        Raises:
            InputError: the task is empty or too long.
            LMError: the LM was needed and did not answer.
        """
        started = perf_counter()
        check_task(task)
        knobs = self.knobs.values
        read: dict[str, Retrieval] = {}

        def look(text: str) -> PartScore:
            if text not in read:
                read[text] = self.retrieve(task=text, knobs=knobs, permissions=permissions)
            return self._summary(read[text], knobs)

        lm = self._language_model() if knobs.split.use_lm else None
        lm = lm if writes(lm) else None
        with dspy.track_usage() as tracker, dspy.context(lm=lm, disable_history=True):
            cut = self.decompose(task=task, knobs=knobs, look=look, lm=lm is not None)
        steps = tuple(
            Step(number, part.task, part.after, self(part.task, permissions, read.get(part.task)))
            for number, part in enumerate(cut.parts, 1)
        )
        usages = [step.delegation.usage for step in steps]
        return Plan(
            task=task,
            steps=steps,
            several=cut.several,
            source=cut.source,
            usage=Usage(
                lm_calls=cut.calls + sum(usage.lm_calls for usage in usages),
                tokens=total_tokens(tracker) + sum(u.tokens for u in usages),
                seconds=perf_counter() - started,
            ),
        )

    def look(self, text: str, permissions: Collection[str] | None = None) -> PartScore:
        """Retrieve a text: its best agents and how sure that is."""
        knobs = self.knobs.values
        return self._summary(self.retrieve(task=text, knobs=knobs, permissions=permissions), knobs)

    def _summary(self, found: Retrieval, knobs: KnobValues) -> PartScore:
        if not found.candidates:
            return PartScore((), 0.0, 0.0)
        assessment = self.assess(found.candidates, found.signals, knobs)
        names = tuple(candidate.name for candidate in found.candidates[:3])
        return PartScore(names, assessment.confidence, found.signals.maxsim)

    def consult(self, alone: Consultation, query: Query, knobs: KnobValues) -> Consultation:
        """Ask the LM about a hard task: expand it, classify the shortlist, rate the choice.

        Args:
            alone: what is believed without it.
            query: the task as retrieval read it.
            knobs: of the LM's stages.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        if not writes(dspy.settings.lm):
            knobs = knobs.without_writing()
        found, expansion = alone.found, self.expand(task=query.text, knobs=knobs)
        if expansion.texts:
            found = self.retrieve(
                task=query.task, knobs=knobs, further=expansion.texts, found=found
            )
        belief = self.classify(
            task=query.text,
            shortlist=self._shortlist(found, query, knobs.lm),
            knobs=knobs.lm,
            posterior={c.name: c.probability for c in found.candidates},
            reference=self._reference() if knobs.lm.prior else (0, ()),
        )
        candidates = weigh(found.candidates, belief.probabilities, knobs.lm.weight)
        unsupported = {"unsupported_language": query.language is not None}
        assess = partial(self.assess, candidates, found.signals, knobs, **unsupported)
        heard = belief.readable and knobs.lm.weight > 0  # else the posterior is retrieval's
        if heard:
            picked = [answer.picked for answer in belief.answers]
            said = {"belief": belief.probabilities, "none": belief.none, "orders": picked}
            assess = partial(assess, **said)
        assessment, rubric, calls = assess(), belief.rubric, expansion.calls + belief.calls
        if rubric is None and knobs.lm.rubric_low <= assessment.confidence < knobs.lm.rubric_high:
            rubric = self._rate(query.text, found, candidates)
            assessment, calls = assess(rubric=rubric), calls + 1
        return alone.copy(
            found=found,
            candidates=candidates,
            assessment=assessment,
            said=evidence_of(belief, expansion.texts, rubric),
            heard=heard,
            calls=calls,
        )

    def _shortlist(self, found: Retrieval, query: Query, knobs: LMKnobs) -> Shortlist:
        select = self.classify.select
        prompt = f"{select.signature}{select.demos}"
        return lm_shortlist(found, query, knobs, context_tokens(dspy.settings.lm), prompt)

    def _rate(self, text: str, found: Retrieval, candidates: Sequence[Candidate]) -> int | None:
        """Return the LM's rating of the first of the candidates that it was shown."""
        by_name = {agent.name: agent for agent in found.agents}
        ranked = [by_name[c.name] for c in candidates if c.name in by_name]
        return self.rate(task=text, agents=ranked[:4]).rubric

    def _language_model(self) -> Any:
        """Return the one LM that every stage of a call asks, None where there is none.

        The program's own, else the predictors' (that of ``classify.select`` first), else
        ``dspy.settings.lm``.
        """
        if isinstance(self._lm, str):
            with self._resolving:
                if self._resolved is None or not _is_up(self._lm, self._resolved):
                    self._resolved = language_model(self._lm)
                return self._resolved
        bound = (self.classify.select, *self.predictors())
        own = next((predict.lm for predict in bound if predict.lm is not None), None)
        return self._lm or own or dspy.settings.lm

    def _reference(self) -> tuple[int, Sequence[Agent]]:
        """Return the registry's version and the agents that every caller may see, by name."""
        free = [agent for agent in self.registry if not agent.required_permissions]
        return self.registry.version, sorted(free, key=lambda agent: agent.name)


def check_task(task: str) -> None:
    """Refuse a task that nobody could delegate.

    Raises:
        InputError: the task is empty or longer than ``MAX_TASK_CHARACTERS``.
    """
    if not task.strip():
        raise InputError("the task is empty: say what should be done")
    if len(task) > MAX_TASK_CHARACTERS:
        raise InputError(
            f"the task has {len(task):,} characters: shorten it to {MAX_TASK_CHARACTERS:,}"
        )


def _is_up(spec: str, lm: Any) -> bool:
    """Tell whether what a spec named before can be asked still: an embedded server may have died.

    In a forked process it is up, but it is the parent's.
    """
    if spec.partition(":")[0] != "embedded":
        return True
    from .lm.server import is_served  # POSIX alone

    return is_served(lm)


def _nobody(task: str, seconds: float) -> Delegation:
    return Delegation(
        task=task,
        decision="none",
        agent=None,
        top3=(),
        confidence=0.0,
        reason="No agent is available to this caller.",
        usage=Usage(seconds=seconds),
    )
