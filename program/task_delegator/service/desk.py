"""Desk: one loaded program at work for many callers, with what it gave and counted."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from time import perf_counter
from typing import Unpack, cast

import dspy

from ..choice import Choice, PlanWishes, Wishes, checked
from ..delegation import Delegation, Plan
from ..delegator import Delegator
from ..errors import DelegatorError, EmbedderError, InputError, StoreError
from ..feedback import record
from ..registry import Agent, Watch
from ..retrieval import Asked, Retrieval, score_many
from ..settings import check_task
from ..stages import guessed_parts, refers_back
from ..tracing import (
    Assessed,
    Decided,
    LiveNames,
    Recorded,
    Requested,
    Span,
    SpanRecorder,
    TraceLog,
    by_delegation,
    shown_name,
)
from .access import Access, Caller
from .gathering import Gathering
from .metrics import Metrics
from .reviews import Given, Reviews

_log = logging.getLogger(__name__)

_AT_ONCE = 64  # tasks that are worked on; others wait for their turn
_PAUSE_SECONDS = 10.0  # before an index that could not be built is tried again
_TRACES_SECONDS = 20.0  # that the last traces may take, when the service is told to stop


class NotKeptError(StoreError):
    """Report that what was sent could not be kept; why is in the service's log."""


class NotFoundError(InputError):
    """Report a request id or an agent that is not there for this caller."""


class Desk:
    """Delegate for callers, remember what was given, and record who was right.

    Args:
        delegator: the loaded program.
        feedback: JSONL file that feedback is appended to; None refuses feedback.
        traces: what writes traces and decisions; None for neither.
    """

    def __init__(
        self,
        delegator: Delegator,
        feedback: Path | None = None,
        traces: TraceLog | None = None,
    ) -> None:
        self.delegator = delegator
        self.reviews = Reviews()
        self.metrics = Metrics()
        self.ready = False
        self.watch: Watch | None = None  # what follows the registry's file
        self._feedback = feedback
        self._traces = traces
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._gathering = Gathering(self._score)
        self._asked_for: tuple[int, frozenset[str]] = (-1, frozenset())

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be ready, from when the index is built, which happens meanwhile, to the end."""
        built = asyncio.create_task(self._build())
        try:
            yield
        finally:
            self.ready = False
            built.cancel()
            if self._traces is not None:
                await asyncio.to_thread(self._traces.close, _TRACES_SECONDS)

    async def _build(self) -> None:
        while not self.ready:
            try:
                await asyncio.to_thread(self.delegator.warm_up)
            except Exception as error:  # whatever it was may pass
                known = isinstance(error, DelegatorError)
                told = "not ready, tried again in %g seconds: %s"
                _log.error(told, _PAUSE_SECONDS, error, exc_info=None if known else error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._gathering.meet(None)
                self.ready = True

    def _score(self, asked: Sequence[Asked]) -> list[Retrieval | None]:
        """Return the scores of tasks that wait at the same time, and of their parts.

        None stands for a task that the embedder refuses: it is told so when it is read alone.
        """
        delegator, knobs = self.delegator, self.delegator.knobs.values
        parts_of = partial(guessed_parts, knobs=knobs)
        scored = score_many(delegator.retrieve, asked, knobs, parts_of)
        return [None if isinstance(one, EmbedderError) else one for one in scored]

    async def delegate(
        self,
        caller: Caller,
        task: str,
        permissions: Collection[str] | None = None,
        **wishes: Unpack[Wishes],
    ) -> tuple[str, Delegation]:
        """Delegate a task; return the id of the request and what was decided.

        It is scored together with tasks that wait at the same time, but for one that refers to
        earlier tasks.

        Args:
            caller: who asks.
            task: in plain words.
            permissions: of the person behind the request; never more than the caller's count.
            wishes: as for the program.

        Raises:
            InputError: the task is empty, or it or an earlier one is too long.
            LMError: the LM was needed and failed, and the program raises that.
        """
        allowed = caller.narrowed(permissions)
        counting = self._counting(allowed)
        started = perf_counter()
        async with self._at_work():
            # The program checks as well, as others call it; none is scored with what it refuses.
            choice = await asyncio.to_thread(checked, task, wishes)
            asked = Asked(task, counting, choice)
            goes_on = bool(choice.history) and refers_back(task)
            scored = None if goes_on else await self._gathering.scored(asked)
            waited = perf_counter() - started
            with self._recorded() as recorder:
                found = await self.delegator.acall(
                    task=task, permissions=counting, found=scored, **wishes
                )
            self._gathering.meet(counting)
        delegation = cast("Delegation", found)  # DSPy types it as a plain Prediction
        usage = delegation.usage
        delegation = delegation.copy(usage=replace(usage, seconds=usage.seconds + waited))
        return self._note(caller, allowed, choice, delegation, recorder.spans), delegation

    async def plan(
        self,
        caller: Caller,
        task: str,
        permissions: Collection[str] | None = None,
        **wishes: Unpack[PlanWishes],
    ) -> tuple[list[str], Plan]:
        """Plan a task; return an id for each step, and the plan.

        Args:
            caller: who asks.
            task: in plain words.
            permissions: as for ``delegate``.
            wishes: as for the program.

        Raises:
            InputError: the task is empty or too long.
            LMError: the LM was needed and failed, and the program raises that.
        """
        allowed = caller.narrowed(permissions)
        counting = self._counting(allowed)
        async with self._at_work():
            with self._recorded() as recorder:
                plan = await asyncio.to_thread(self.delegator.plan, task, counting, **wishes)
        steps = zip_longest(plan.steps, by_delegation(recorder.spans)[: len(plan.steps)])
        choice = Choice.of(**wishes)
        return [
            self._note(caller, allowed, choice, step.delegation, spans or ())
            for step, spans in steps
        ], plan

    async def search(self, caller: Caller, text: str, most: int) -> list[tuple[Agent, float]]:
        """Return the best agents for a text with their probabilities, best first; no LM is asked.

        Args:
            caller: who asks.
            text: in plain words.
            most: agents, at most.

        Raises:
            InputError: the text is empty or too long.
        """
        async with self._at_work():
            await asyncio.to_thread(check_task, text, "the text")
            with dspy.context(lm=None):
                found = await asyncio.to_thread(
                    self.delegator.retrieve,
                    task=text,
                    knobs=self.delegator.knobs.values,
                    permissions=self._counting(caller.narrowed(None)),
                    choice=Choice(k=most),
                )
        pairs = zip(found.agents, found.candidates, strict=True)
        return [(agent, candidate.probability) for agent, candidate in pairs][:most]

    async def record(self, caller: Caller, request_id: str, correct_agent: str | None) -> Given:
        """Append who was right to the feedback file; return the delegation that it is about.

        Raises:
            InputError: no feedback is kept.
            NotKeptError: the file cannot be written.
            NotFoundError: the caller was given no such delegation, it is forgotten, or the caller
                may use no such agent.
        """
        if self._feedback is None:
            raise InputError("this service keeps no feedback: start it with --feedback FILE")
        given = self.reviews.find(caller, request_id)
        if given is None:
            raise NotFoundError("no delegation with this request_id is remembered for you")
        own = given.caller == caller.name  # a reviewer may know better than who asked may use
        names = self.delegator.registry.permitted(given.permissions if own else caller.permissions)
        if correct_agent is not None and correct_agent not in names:
            raise NotFoundError(f"no agent that you may use is named {correct_agent!r}")
        try:
            row = await asyncio.to_thread(
                record, self._feedback, given.delegation, correct_agent, caller.name, request_id
            )
        except InputError as error:
            _log.error("feedback is lost: %s", error)
            raise NotKeptError("feedback cannot be kept now: try again later") from error
        self.reviews.settle(request_id)
        if self._traces is not None and self._traces.traced:
            shown = self._shown(correct_agent)
            self._traces.put(Assessed(request_id, shown, caller.name))
        self.metrics.count_feedback(row.correct)
        return given

    def restore(self, waiting: Sequence[Decided], access: Access) -> None:
        """Let what waited when a service ended wait again, where somebody may still see it."""
        asked = [(row, row.requested) for row in waiting if row.requested is not None]
        seen = [(row, by) for row, by in asked if access.shows(by.caller, by.permissions)]
        if len(seen) < len(waiting):
            told = "%d reviews of before wait no more: no token shows them"
            _log.warning(told, len(waiting) - len(seen))
        self.reviews.restore(seen)

    async def waiting(self, caller: Caller) -> list[Given]:
        """Return the delegations that wait for a person, the oldest first: the caller's own.

        To a reviewer, those of others too. One that names an agent which who asked may use no
        more is made again, without an LM, and one that a log tells of.
        """
        found, permitted = [], cache(self.delegator.registry.permitted)
        for given in self.reviews.waiting(caller):
            if given.shown is not None and given.names <= permitted(given.permissions):
                found.append(given)
                continue
            try:
                found.append(await self._renewed(given))
            except DelegatorError as error:
                _log.warning("a review is not shown: %s", error)
        now = cache(self.delegator.registry.permitted)  # it may have changed meanwhile
        return [given for given in found if given.names <= now(given.permissions)]

    async def _renewed(self, given: Given) -> Given:
        choice = given.choice
        async with self._at_work():
            with dspy.context(lm=None):
                found = await self.delegator.acall(
                    task=given.delegation.task,
                    permissions=self._counting(given.permissions),
                    exclude=choice.exclude,
                    include=choice.include,
                    history=choice.history,
                    k=choice.k,
                )
        return self.reviews.renew(given, cast("Delegation", found))

    def agents(self, caller: Caller) -> list[Agent]:
        """Return the agents that a caller may use, by name."""
        registry = self.delegator.registry
        return sorted(
            (agent for agent in registry if agent.permits(caller.permissions)),
            key=lambda agent: agent.name,
        )

    def counted(self) -> bytes:
        """Return the counters, as Prometheus reads them."""
        self.metrics.waiting.set(len(self.reviews))
        self.metrics.forgotten.set(self.reviews.forgotten)
        self.metrics.not_written.set(0 if self._traces is None else self._traces.lost)
        self.metrics.agents.set(len(self.delegator.registry))
        self.metrics.stale.set(self.watch is not None and self.watch.refused)
        return self.metrics.text()

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        with self.metrics.queued.track_inprogress():
            await self._places.acquire()
        try:
            with self.metrics.under_way.track_inprogress():
                yield
        except DelegatorError as error:
            self.metrics.count_error(error)
            raise
        finally:
            self._places.release()

    @contextmanager
    def _recorded(self) -> Iterator[SpanRecorder]:
        """Record the spans of what is called within, where traces are written; write failures."""
        traces = self._traces
        if traces is None or not traces.traced:
            yield SpanRecorder({})
            return
        recorder = SpanRecorder(LiveNames(self.delegator.registry), traces.texts)
        try:
            with dspy.context(callbacks=[*dspy.settings.get("callbacks", []), recorder]):
                yield recorder
        except DelegatorError:
            for spans in by_delegation(recorder.spans):
                traces.put(Recorded(spans))
            raise

    def _counting(self, permissions: frozenset[str] | None) -> frozenset[str] | None:
        """Return those of a caller's permissions that some agent asks for.

        The others change no answer. What is built for a caller is remembered by them, and a
        request may name a thousand.
        """
        if permissions is None:
            return None
        registry = self.delegator.registry
        version = registry.version  # before the agents: what is newer is looked at again
        if version != self._asked_for[0]:
            needed = (agent.required_permissions for agent in registry)
            self._asked_for = version, frozenset().union(*needed)
        return permissions & self._asked_for[1]

    def _note(
        self,
        caller: Caller,
        permissions: frozenset[str] | None,
        choice: Choice,
        delegation: Delegation,
        spans: Sequence[Span],
    ) -> str:
        self.metrics.count(delegation)
        request_id = self.reviews.remember(caller, permissions, choice, delegation)
        if self._traces is not None:
            waits = delegation.decision == "review"
            asked = Requested.of(caller.name, permissions, choice) if waits else None
            decided = Decided.of(request_id, delegation, asked)
            first = self._shown(decided.agent)
            self._traces.put(Recorded(spans, decided, first, self._traces.texts))
        return request_id

    def _shown(self, agent: str | None) -> str | None:
        """Return an agent as a trace may show it."""
        return None if agent is None else shown_name(self.delegator.registry, agent)
