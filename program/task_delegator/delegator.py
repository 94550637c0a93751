"""Delegator: the whole program, from a task to a delegation.

Long because each way to call it says what it takes.
"""

import logging
from collections.abc import Collection, Generator, Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Unpack

import dspy

from .calibration import CalibratedAgents
from .choice import Choice, PlanWishes, Wishes, checked
from .consultation import (
    UNREADABLE,
    Consultation,
    collect_evidence,
    evidence_of,
    explain,
    lm_shortlist,
    open_agents,
    ranked_agents,
    taken_at_its_word,
    transfer,
)
from .decision import (
    UNASKED,
    AssessConfidence,
    Coverage,
    LMAnswers,
    LMShareCap,
    asks_lm,
    assess_confidence,
    decide,
    decision_certainty,
    settled_by,
    transfers,
    weigh,
)
from .delegation import (
    TOP,
    Candidate,
    Delegation,
    GateEvidence,
    LMFailure,
    Plan,
    Usage,
    nobody,
    total_tokens,
)
from .doubts import collect_doubts
from .embedders import Embedder, embedder
from .errors import DelegatorError, InputError, LMAnswerError, LMError, LMSpecError
from .knobs import Knobs, KnobValues, LMKnobs
from .lm import (
    as_asked,
    context_tokens,
    fault_of,
    gives_logprobs,
    is_packaged,
    is_up,
    language_model,
    prepare,
    task_budget,
    writes,
)
from .many import LM_THREADS, delegate_each
from .planning import is_measured, needs_several, plan_task, read_ahead, score_part
from .registry import Agent, Registry, readable
from .rerankers import Reranker
from .retrieval import IndexCache, Query, ReadAhead, Retrieval, Retrieve
from .settings import TIMEOUT, LMFailurePolicy, check_policy, check_portable
from .stages import (
    FITS_ALONE,
    Classification,
    ClassifyAgent,
    DecomposeTask,
    ExpandQuery,
    Expansion,
    PartScore,
    RateConfidence,
    Shortlist,
    call_module,
    compute_off_loop,
    guessed_cuts,
    looked_at,
    refers_back,
    run_to_end,
    seems_several,
    with_earlier,
)
from .system import Lock

_log = logging.getLogger(__name__)


class Delegator(dspy.Module):
    """Name the agent that should do a task, say how sure that is, and decide.

    Args:
        registry: the agents; later changes are followed.
        embed: the embedder; the default one where None.
        lm: the LM for hard tasks, or its spec, which is resolved when the first hard task
            comes. An LM that ``set_lm`` gave the predictors goes before it. Where both are None,
            ``dspy.settings.lm`` serves, and where that is None too, the program works without one.
        calibrated_for: the agents that the confidence was calibrated on, or their digests; None
            for any. Tasks that may be for others are reviewed, and all tasks where these are more
            than one in ten of a caller's agents, or few agents are left.
        on_lm_failure: what to do where the LM is needed and cannot be reached, refuses, takes too
            long or answers what cannot be read: ``degrade`` to retrieval's own decision, marked
            in the evidence, or ``raise``.
        timeout: seconds for all LM calls of one task, from the first on; None for no limit.
        max_lm_share: of the tasks, 0..1, the LM is asked about at most; None for no cap.
        reranker: reads the best agents of tasks, where the program gives it a weight.
    """

    def __init__(
        self,
        registry: Registry,
        embed: Embedder | None = None,
        lm: dspy.BaseLM | str | None = None,
        calibrated_for: CalibratedAgents | frozenset[str] | None = None,
        on_lm_failure: LMFailurePolicy = "degrade",
        timeout: float | None = TIMEOUT,
        max_lm_share: float | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        super().__init__()
        check_policy(on_lm_failure, timeout)
        if len(registry) == 0:
            raise InputError("the registry is empty: add at least one agent")
        self.knobs = Knobs()
        self.retrieve = Retrieve(IndexCache(registry, embed or embedder()), reranker)
        self.decompose = DecomposeTask()
        self.expand = ExpandQuery()
        self.classify = ClassifyAgent()
        self.rate = RateConfidence()
        self.assess = AssessConfidence()
        self._lm = lm
        self.on_lm_failure: LMFailurePolicy = on_lm_failure
        self.timeout = timeout
        self.max_lm_share = max_lm_share
        if not isinstance(calibrated_for, CalibratedAgents):
            calibrated_for = CalibratedAgents(calibrated_for)
        self.calibrated_for = calibrated_for
        self._resolving = Lock()
        self._resolved: tuple[str, Any] | None = None  # a spec, and the LM that it named

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the LM that a spec named: it holds a key, and is found again."""
        return super().__getstate__() | {"_resolved": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Delegator":
        """Return a copy in this process, which keeps the LM."""
        twin = memo[id(self)] = object.__new__(type(self))
        twin.__setstate__(deepcopy(self.__getstate__(), memo))
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be pickled with an LM object, and its key."""
        check_portable((self._lm, *(predict.lm for predict in self.predictors())))
        return super().__reduce_ex__(protocol)

    def set_lm(self, lm: Any) -> None:
        """Give every predictor an LM, which goes before that of the program; None takes it back."""
        super().set_lm(language_model(lm) if isinstance(lm, str) else lm)

    @property
    def registry(self) -> Registry:
        """The agents; changes to it take effect at the next task."""
        return self.retrieve.library.registry

    @property
    def max_lm_share(self) -> float | None:
        """Of the tasks, 0..1, the LM is asked about at most; None for no cap.

        Raises:
            ValueError: what is set is no such number.
        """
        return self._lm_cap.share

    @max_lm_share.setter
    def max_lm_share(self, share: float | None) -> None:
        self._lm_cap = LMShareCap(share)

    def calibrated(self, permissions: Collection[str] | None = None) -> bool:
        """Tell whether the confidence was calibrated for the agents that a caller may use."""
        return self._believed_for().cover(self.registry, permissions)

    def _believed_for(self) -> CalibratedAgents:
        """Return whom the confidence holds for: nobody, where a state brought another along."""
        known = self.calibrated_for
        return known.for_nobody() if self.knobs.brought_along else known

    def transfers(self) -> bool:
        """Tell whether the confidence of other registries holds for callers of all agents."""
        trusted = self._believed_for().trusted
        return not trusted and transfers(len(self.registry), self.knobs.values)

    def forward(
        self,
        task: str,
        permissions: Collection[str] | None = None,
        found: Retrieval | None = None,
        **wishes: Unpack[Wishes],
    ) -> Delegation:
        """Delegate one task.

        Args:
            task: the task in plain words, 1 to 20,000 characters.
            permissions: what the caller may use; None for a caller without limits.
                Agents that need more are not ranked, prompted or returned.
            found: what ``retrieve`` found for this task and these permissions, where that is
                known (``plan``), or its scores (``score_many``): the task is not read again.
            wishes: ``exclude``, ``include``, ``history`` and ``k``, see ``Wishes``.

        Raises:
            InputError: the task is empty, or it or an earlier one is too long.
            LMError: the LM was needed and failed, and ``on_lm_failure`` is ``raise``.
        """
        return run_to_end(self.aforward(task, permissions, found, **wishes))

    async def aforward(
        self,
        task: str,
        permissions: Collection[str] | None = None,
        found: Retrieval | None = None,
        **wishes: Unpack[Wishes],
    ) -> Delegation:
        """Delegate one task; its LM calls are awaited, so that many tasks can wait at once."""
        started = perf_counter()
        choice = await compute_off_loop(checked, task, wishes)
        knobs = self.knobs_for(permissions)
        with dspy.track_usage() as tracker, task_budget(self.timeout) as budget:
            cuts = None if found is not None and found.part else guessed_cuts(task, knobs)
            ahead = read_ahead(task, looked_at(cuts or ()), found)
            found = await compute_off_loop(
                self._find, task, knobs, permissions, found, choice, ahead
            )
            if (query := found.query) is None:
                return nobody(task, perf_counter() - started)
            advice = await self._advise(found, query, knobs, permissions)
            coverage = self._coverage_of(advice, permissions, choice)
            calls = max(advice.calls, budget.attempts)
            several = await compute_off_loop(
                needs_several, task, cuts, knobs, found, ahead, scoped=coverage.complete
            )
            in_part = seems_several(several, knobs.split.review_threshold)
            doubts = await collect_doubts(
                self, task, query, permissions, knobs, advice, in_part=in_part
            )
        candidates, assessment = advice.candidates, advice.assessment
        decision, reason = decide(
            candidates,
            assessment.confidence,
            assessment.in_scope_score,
            advice.thresholds(knobs),
            coverage,
            advice.source,
            doubts,
        )
        return Delegation(
            task=task,
            decision=decision,
            agent=None if decision == "none" else advice.first.name,
            top3=candidates[:TOP],
            confidence=assessment.confidence_in(decision),
            reason=explain(reason, decision, advice, seems_several(several, knobs.split.threshold)),
            rubric=advice.said.rubric if advice.said and decision == "review" else None,
            several=several,
            ranking=candidates[: choice.k],
            evidence=collect_evidence(task, advice, query, coverage, doubts),
            usage=Usage(calls, total_tokens(tracker), perf_counter() - started),
        )

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(
            self,
            task: str,
            permissions: Collection[str] | None = None,
            found: Retrieval | None = None,
            **wishes: Unpack[Wishes],
        ) -> Delegation:
            """Delegate one task; see ``forward``."""
            ...

    def knobs_for(self, permissions: Collection[str] | None = None) -> KnobValues:
        """Return the numbers for a caller's tasks: those of ``knobs``, and when an LM is asked.

        Where no labels calibrated the program for the caller's agents, an LM is asked about what
        would not be assigned; not the packaged one, nor where its own scale is believed although
        nothing calibrated it.
        """
        knobs, known = self.knobs.values, self._believed_for()
        strangers = known.strangers(self.registry, permissions)
        own = known.by == "samples" and strangers is not None
        others = known.transfer and not known.trusted and strangers != frozenset()
        if not (own or others) or (lm := self.given_lm()) is None or is_packaged(lm):
            return knobs
        values = knobs.confidence if own else knobs.transfer
        return knobs.asking_below(values.assign_threshold)

    def knobs_for_task(self, knobs: KnobValues, coverage: Coverage) -> KnobValues:
        """Return the numbers for one task, once it is known whom it may be for.

        Args:
            knobs: for the caller's tasks (``knobs_for``).
            coverage: for whom of the best agents the program was calibrated. Where labels did
                for all, the numbers of ``knobs`` hold as they were compiled.
        """
        return self.knobs.values if coverage.labeled else knobs

    def may_ask_lm(self, permissions: Collection[str] | None = None) -> bool:
        """Tell whether a task could need the LM, without looking for the one that a spec names."""
        asking = self.knobs_for(permissions).lm
        asked = asking.gate is not None or asking.ask_settled
        return asked and self.given_lm() is not None

    def needs_lm(self, advice: Consultation, knobs: KnobValues) -> bool:
        """Tell whether the LM is to be asked about a task, where there is one.

        The packaged one is not where nobody measured what its word is worth.

        Args:
            advice: what is believed without it.
            knobs: for the task (``knobs_for_task``).
        """
        gate = advice.gate
        if not asks_lm(gate.certainty, knobs.lm, gate.settled) or (lm := self.given_lm()) is None:
            return False
        return not (advice.coverage.takes_lm_at_its_word and is_packaged(lm))

    def _find(
        self,
        task: str,
        knobs: KnobValues,
        permissions: Collection[str] | None,
        found: Retrieval | None,
        choice: Choice,
        ahead: ReadAhead,
    ) -> Retrieval:
        """Retrieve a task, behind those that it may refer to where that fits an agent better.

        What was found already is ranked, where that is to be done.
        """
        if found is not None:
            return found if found.ranked else self.retrieve(task=task, knobs=knobs, found=found)
        retrieve = partial(
            self.retrieve, knobs=knobs, permissions=permissions, choice=choice, ahead=ahead
        )
        found = retrieve(task=task)
        text = with_earlier(task, choice.history) if refers_back(task) else task
        fit = partial(self._fit, knobs=knobs, permissions=permissions)
        if text == task or not found.candidates or fit(found) >= FITS_ALONE:
            return found
        return max(found, retrieve(task=text), key=fit)

    def coverage(
        self,
        permissions: Collection[str] | None,
        first: Agent,
        candidates: Sequence[Candidate] = (),
    ) -> Coverage:
        """Return for whom of those that a task may be for the confidence was calibrated.

        Args:
            permissions: the caller's.
            first: the best agent.
            candidates: with their probabilities.
        """
        return self._believed_for().coverage(self.registry, permissions, first, candidates)

    def _coverage_of(
        self, advice: Consultation, permissions: Collection[str] | None, choice: Choice
    ) -> Coverage:
        """Return ``coverage`` in the end: an LM may have put others first.

        Other registries tell of agents that are all there, not of those that a caller leaves.
        """
        found = self.coverage(permissions, advice.first, advice.candidates)
        elsewhere = found.gap == "registry" and found.transfer and self.transfers()
        return replace(found, gap="excluded") if elsewhere and choice.exclude else found

    def _fit(
        self, found: Retrieval, knobs: KnobValues, permissions: Collection[str] | None
    ) -> float:
        """Return how sure it is that some agent fits, and that it is the first."""
        assessment = assess_confidence(found.candidates, found.signals, knobs)
        if self.coverage(permissions, found.agents[0], found.candidates).borrowed:
            elsewhere = transfer(assessment, found, knobs)
            if elsewhere is not None:
                return elsewhere.confidence
        return assessment.confidence * assessment.in_scope_score

    async def _advise(
        self,
        found: Retrieval,
        query: Query,
        knobs: KnobValues,
        permissions: Collection[str] | None,
    ) -> Consultation:
        """Judge what retrieval found, and consult the LM where that could change the decision."""
        coverage = self.coverage(permissions, found.agents[0], found.candidates)
        knobs = self.knobs_for_task(knobs, coverage)
        advice = self.judge(found, query, knobs, coverage)
        needed = self.needs_lm(advice, knobs)
        withheld = self._lm_cap.withholds(advice.gate.certainty if needed else None)
        if not needed:
            return advice
        if withheld is not None:
            return advice.copy(gate=replace(advice.gate, withheld=withheld))
        try:
            lm = await compute_off_loop(self.resolve_lm)
            if lm is None:
                return advice
            # DSPy would keep every prompt and answer of a service in memory.
            with dspy.context(lm=lm, disable_history=True):
                consulted = await self.consult(advice, query, knobs)
            if consulted.failure is not None:
                self.degrade(LMAnswerError(consulted.failure.message))
            return consulted
        except LMError as error:
            return advice.copy(failure=self.degrade(error))

    def judge(
        self,
        found: Retrieval,
        query: Query,
        knobs: KnobValues,
        coverage: Coverage,
    ) -> Consultation:
        """Return what is believed without the LM, and how certain that is.

        Args:
            found, query: what retrieval found; the task as it read it.
            knobs: of the program.
            coverage: for whom of the best agents the program was calibrated.
        """
        alone = self.assess(
            found.candidates,
            found.signals,
            knobs,
            unsupported_language=query.language is not None,
            scoped=coverage.complete,
        )
        certainty = decision_certainty(alone.confidence, alone.in_scope_score, knobs.thresholds())
        elsewhere = None if coverage.own else transfer(alone, found, knobs)
        if coverage.borrowed:
            certainty = 0.0 if elsewhere is None else elsewhere.confidence
        language = query.language or self.retrieve.language_of_agent(found.agents[0])
        settled = settled_by(calibrated=coverage.own or coverage.borrowed, language=language)
        return Consultation(
            found=found,
            candidates=found.candidates,
            assessment=elsewhere or alone,
            gate=GateEvidence(certainty, knobs.lm.gate, settled),
            coverage=coverage,
            transferred=elsewhere is not None,
        )

    def degrade(self, error: LMError) -> LMFailure:
        """Return how the LM failed, where that is to be lived with.

        Raises:
            LMError: it is not, or no LM failed, as the spec names none.
        """
        if self.on_lm_failure == "raise" or isinstance(error, LMSpecError):
            raise error
        _tell_fault(fault_of(error), str(error))
        return LMFailure(fault_of(error), str(error))

    def delegate_many(
        self,
        tasks: Iterable[str],
        permissions: Collection[str] | None = None,
        threads: int = LM_THREADS,
    ) -> list[Delegation]:
        """Return what the program would answer to each task, sooner than one after the other.

        A task's ``usage.seconds`` are its own and its share of what was done for all. With
        ``max_lm_share``, the LM is asked about no more than that share of these tasks: the least
        certain of some thousand at a time.

        Args:
            tasks: as for ``forward``.
            permissions: as for ``forward``.
            threads: tasks that wait for an LM at a time.

        Raises:
            InputError: a task is no text, empty or too long; nothing was begun.
            LMError: as for ``forward``; the other tasks were finished.
            TypeError: it is one text, not several.
        """
        found = list(self.delegate_each(tasks, permissions, threads))
        for answer in found:
            if isinstance(answer, DelegatorError):
                raise answer
        return [answer for answer in found if isinstance(answer, Delegation)]

    def delegate_each(
        self,
        tasks: Iterable[str],
        permissions: Collection[str] | None = None,
        threads: int = LM_THREADS,
        *,
        max_lm_calls: int | None = None,
        arriving: bool = False,
    ) -> Generator[Delegation | DelegatorError, None, None]:
        """Yield ``delegate_many``'s answers as they come, in order; a task that fails, its error.

        Args:
            tasks, permissions, threads: as for ``delegate_many``.
            max_lm_calls: begin no further task with the LM after so many calls; one task is then
                decided after the other.
            arriving: the tasks are some of a service's: ``max_lm_share`` holds over all that
                came, as for single calls, and not within these.

        Raises:
            InputError: a task is no text, empty or too long; nothing was begun.
            EmbedderError: it refuses every task, as where it cannot be reached.
        """
        return delegate_each(
            self,
            tasks,
            permissions,
            threads,
            max_lm_calls=max_lm_calls,
            arriving=arriving,
        )

    def plan(
        self, task: str, permissions: Collection[str] | None = None, **wishes: Unpack[PlanWishes]
    ) -> Plan:
        """Say which agents a task needs, for which part of it, and in which order.

        Args:
            task: the task in plain words, 1 to 20,000 characters.
            permissions: as for ``forward``.
            wishes: ``exclude`` and ``include``, as for ``forward``, of every step.

        Raises:
            InputError: the task is empty or too long.
            LMError: the LM was needed and failed, and ``on_lm_failure`` is ``raise``.
        """
        with task_budget(self.timeout):
            return plan_task(self, task, permissions, wishes)

    def warm_up(self, permissions: Collection[str] | None = None) -> None:
        """Build what answers a caller with these permissions, before a task waits for it."""
        self.retrieve(task="warm up", knobs=self.knobs.values, permissions=permissions)
        if self.may_ask_lm(permissions):
            prepare(self.given_lm())

    def look(self, text: str, permissions: Collection[str] | None = None) -> PartScore:
        """Retrieve a text: its best agents and how sure that is."""
        knobs = self.knobs.values
        found = self.retrieve(task=text, knobs=knobs, permissions=permissions)
        return score_part(found, knobs, scoped=is_measured(self, permissions, found))

    async def consult(self, alone: Consultation, query: Query, knobs: KnobValues) -> Consultation:
        """Ask the LM about a hard task: expand it, classify the shortlist, rate the choice.

        Args:
            alone, query: what is believed without it; the task as retrieval read it.
            knobs: of the LM's stages.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        knobs = _answerable(knobs, alone)
        found, expansion = await self._expanded(alone.found, query, knobs)
        shortlist = self._shortlist(found, query, knobs.lm)
        belief: Classification = await call_module(
            self.classify,
            task=query.shown,
            shortlist=shortlist,
            knobs=knobs.lm,
            posterior={c.name: c.probability for c in found.candidates},
            reference=open_agents(self.registry) if knobs.lm.prior else (0, ()),
        )
        calls = expansion.calls + belief.calls
        if not belief.readable:
            said = evidence_of(belief, expansion.texts, None)
            return alone.copy(said=said, failure=UNREADABLE, calls=calls)
        candidates = weigh(found.candidates, belief.probabilities, knobs.lm.weight)
        with_lm = knobs.lm.weight > 0  # else the posterior is retrieval's
        answers = _counting(belief) if with_lm else UNASKED
        assess = partial(
            self.assess,
            candidates,
            found.signals,
            knobs,
            unsupported_language=query.language is not None,
            scoped=alone.coverage.complete,
        )
        assessment, rubric = assess(answers), belief.rubric
        if with_lm and alone.coverage.takes_lm_at_its_word:
            assessment = taken_at_its_word(assessment, candidates, belief)
        if rubric is None and knobs.lm.rubric_low <= assessment.confidence < knobs.lm.rubric_high:
            known = {"agents": ranked_agents(found, candidates)[:4], "hidden": shortlist.hidden}
            rubric = (await call_module(self.rate, task=query.shown, **known)).rubric
            assessment, calls = assess(replace(answers, rubric=rubric)), calls + 1
        return alone.copy(
            found=found,
            candidates=candidates,
            assessment=assessment,
            said=evidence_of(belief, expansion.texts, rubric),
            with_lm=with_lm,
            calls=calls,
        )

    async def _expanded(
        self, found: Retrieval, query: Query, knobs: KnobValues
    ) -> tuple[Retrieval, Expansion]:
        """Return what is found with other words that the LM writes for a task, and these."""
        expansion: Expansion = await call_module(self.expand, task=query.shown, knobs=knobs)
        if not expansion.texts:
            return found, expansion
        again = await compute_off_loop(
            self.retrieve,
            task=query.task,
            knobs=knobs,
            further=expansion.texts,
            found=found,
        )
        return again, expansion

    def _shortlist(self, found: Retrieval, query: Query, knobs: LMKnobs) -> Shortlist:
        asked = self.classify.select.predictors()
        prompt = "".join(f"{each.signature}{each.demos}" for each in asked)
        shown = lm_shortlist(found, query, knobs, context_tokens(dspy.settings.lm), prompt)
        return replace(shown, hidden=self._hidden(found))

    def _hidden(self, found: Retrieval) -> frozenset[str]:
        """Return the names of agents that the caller may not use, where demos may hold one."""
        if not any(predict.demos for predict in self.predictors()):
            return frozenset()
        permitted = set(() if found.index is None else found.index.names)
        return frozenset(
            name
            for agent in self.registry
            if agent.required_permissions and agent.name not in permitted
            for name in (agent.name, readable(agent.name))
        )

    def given_lm(self) -> Any:
        """Return the LM, or the spec that names it; None where there is none.

        The predictors' (that of ``classify.select`` first), as ``set_lm`` of this program or of
        one around it leaves it, else the program's own, else ``dspy.settings.lm``.
        """
        bound = (*self.classify.select.predictors(), *self.predictors())
        own = dspy.settings.lm if self._lm is None else self._lm
        return next((predict.lm for predict in bound if predict.lm is not None), own)

    def get_lm(self) -> Any:
        """Return the LM that every stage asks; DSPy's modules that vary it start from this one."""
        return self.resolve_lm()

    def resolve_lm(self) -> Any:
        """Return the one LM that every stage of a call asks, None where there is none."""
        lm = self.given_lm()
        if isinstance(lm, str):
            with self._resolving:
                spec, known = self._resolved or ("", None)
                if spec != lm or not is_up(lm, known):
                    known = language_model(lm)
                    self._resolved = lm, known
                return known
        if not (lm is None or callable(lm)):
            raise LMSpecError(f"lm is {lm!r:.80}: give a dspy.LM or a name, as openai/gpt-5-mini")
        return as_asked(lm)


@lru_cache(maxsize=64)  # a service meets the same fault at every task: once says it
def _tell_fault(fault: str, said: str) -> None:
    _log.warning("the LM failed (%s), tasks are decided without it: %s", fault, said)


def _counting(belief: Classification) -> LMAnswers:
    """Return of what an LM believes what counts in the confidence."""
    picks = tuple(answer.picked for answer in belief.answers)
    return LMAnswers(belief.probabilities, belief.none, picks)


def _answerable(knobs: KnobValues, alone: Consultation) -> KnobValues:
    """Return the numbers for the LM that is asked, without what it cannot answer."""
    if not writes(dspy.settings.lm):
        return knobs.without_writing()
    if alone.coverage.takes_lm_at_its_word and not gives_logprobs(dspy.settings.lm):
        return knobs.replaced({"lm.answer": "ranking"})
    return knobs
