"""Whether a task needs several agents, and who does which part of it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter

import dspy

from .choice import Choice, PlanWishes
from .decision import assess_confidence
from .delegation import TOP, LMFailure, Plan, Step, Usage, total_tokens
from .errors import LMError
from .knobs import KnobValues
from .lm import task_budget, writes
from .program import Program
from .retrieval import ReadAhead, Retrieval, glance
from .settings import check_task
from .stages import Cut, Decomposition, PartScore, guess_several


def plan_task(
    program: Program, task: str, permissions: Collection[str] | None, wishes: PlanWishes
) -> Plan:
    """Return a plan; see ``Delegator.plan``."""
    started = perf_counter()
    check_task(task)
    if further := wishes.keys() - PlanWishes.__annotations__.keys():
        raise TypeError(f"a plan takes no {' and no '.join(sorted(further))}")
    knobs, choice = program.knobs_for(permissions), Choice.of(**wishes)
    read: dict[str, Retrieval] = {}

    def find(text: str) -> Retrieval:
        if text not in read:
            read[text] = program.retrieve(
                task=text, knobs=knobs, permissions=permissions, choice=choice
            )
        return read[text]

    def look(text: str) -> PartScore:
        return score_part(find(text), knobs, scoped=is_measured(program, permissions, find(task)))

    with dspy.track_usage() as tracker, task_budget(None) as budget:
        cut, failure = _cut(program, task, knobs, look)
    steps = tuple(
        Step(
            number,
            part.task,
            part.after,
            program(part.task, permissions, _as_part(read.get(part.task)), **wishes),
        )
        for number, part in enumerate(cut.parts, 1)
    )
    usages = [step.delegation.usage for step in steps]
    return Plan(
        task=task,
        steps=steps,
        several=cut.several,
        source=cut.source,
        lm_failure=failure,
        usage=Usage(
            lm_calls=max(cut.calls, budget.attempts) + sum(usage.lm_calls for usage in usages),
            tokens=total_tokens(tracker) + sum(usage.tokens for usage in usages),
            seconds=perf_counter() - started,
        ),
    )


def _cut(
    program: Program, task: str, knobs: KnobValues, look: Callable[[str], PartScore]
) -> tuple[Decomposition, LMFailure | None]:
    """Return the parts of a task, and how the LM failed that should have cut it."""
    cut = partial(program.decompose, task=task, knobs=knobs, look=look)
    failure = None
    try:
        lm = program.resolve_lm() if knobs.split.use_lm else None
        if lm is not None and writes(lm):
            with dspy.context(lm=lm, disable_history=True):
                return cut(lm=True), None
    except LMError as error:
        failure = program.degrade(error)
    return cut(lm=False), failure


def _as_part(found: Retrieval | None) -> Retrieval | None:
    return None if found is None else found.copy(part=True)


def is_measured(program: Program, permissions: Collection[str] | None, found: Retrieval) -> bool:
    """Tell whether the confidence was calibrated for what was found."""
    if not found.agents:
        return False
    return program.coverage(permissions, found.agents[0], found.candidates).complete


def score_part(found: Retrieval, knobs: KnobValues, *, scoped: bool) -> PartScore:
    """Return the best agents of a text, and how sure that is.

    Args:
        found: what retrieval found for it.
        knobs: weights of the confidence.
        scoped: as for ``assess_confidence``.
    """
    if not found.candidates:
        return PartScore((), 0.0, 0.0)
    assessment = assess_confidence(found.candidates, found.signals, knobs, scoped=scoped)
    names = tuple(candidate.name for candidate in found.candidates[:TOP])
    return PartScore(names, assessment.confidence, found.signals.maxsim)


def read_ahead(task: str, parts: Sequence[str], found: Retrieval | None) -> ReadAhead:
    """Return what reads a task and the parts of it that are looked at, none of a plan's part."""
    if found is not None and (found.part or found.glances):
        return ReadAhead()
    query = None if found is None else found.query
    own = query is not None and query.task == task
    return ReadAhead(parts, query.encoded if query and own else None)


def needs_several(
    task: str,
    cuts: Sequence[Cut] | None,
    knobs: KnobValues,
    found: Retrieval,
    ahead: ReadAhead,
    *,
    scoped: bool,
) -> float | None:
    """Return the probability that a task needs several agents, None where it has no joint.

    Args:
        task, cuts: the task, and where it may be cut.
        knobs: of retrieval and of plans.
        found: what retrieval found for the task.
        ahead: what reads its parts.
        scoped: as for ``score_part``.
    """

    def look(part: str) -> PartScore:
        if found.index is None:
            return PartScore((), 0.0, 0.0)
        seen = dict(found.glances).get(part)
        if seen is None:
            seen = glance(ahead.read(found.index, part, knobs), knobs, found)
        # What a reranker said of the task stands in for parts, which it does not read.
        signals = replace(seen.signals, rerank=found.signals.rerank)
        return score_part(seen.copy(signals=signals), knobs, scoped=scoped)

    return guess_several(task, cuts, knobs, look, lambda: score_part(found, knobs, scoped=scoped))
