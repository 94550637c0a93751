"""What speaks against an assignment, however sure the confidence is."""

from collections.abc import Collection
from dataclasses import replace

from .consultation import Consultation
from .decision import Doubts
from .knobs import KnobValues
from .program import Program
from .registry import Agent, description_text, texts_of
from .retrieval import Query
from .stages import compute_off_loop
from .text import opposite_operation, own_words, repeated_words, without_fine

_CLEAR = 7.4  # times the probability of another: two in log-odds, as for sentences beside a name


async def collect_doubts(
    program: Program,
    task: str,
    query: Query,
    permissions: Collection[str] | None,
    knobs: KnobValues,
    advice: Consultation,
    *,
    in_part: bool,
) -> Doubts:
    """Return what speaks against an assignment to the first agent.

    Args:
        program: that found it.
        task, query: the task as it was given, and as retrieval read it.
        permissions, knobs: the caller's, and the numbers for him.
        advice: what is believed, an LM's word included.
        in_part: whether the task surely needs several agents.
    """
    first = advice.first
    return Doubts(
        language=query.language,
        described_in=program.retrieve.language_of_agent(first),
        named=tuple(dict.fromkeys((*query.named, *query.mentions))),
        by_name=advice.found.by_name and first.name in query.named,
        repeated_words=repeated_words(task, description_text(first)),
        without_quoted=await _without_quoted(program, task, permissions, knobs, advice),
        in_part=in_part,
        opposite=None if advice.said else _opposite(task, first),
    )


async def _without_quoted(
    program: Program,
    task: str,
    permissions: Collection[str] | None,
    knobs: KnobValues,
    advice: Consultation,
) -> str | None:
    """Return for whom else a task is without what it quotes or says is fine, if clear."""
    own = own_words(task) or without_fine(task)
    if own is None:
        return None
    found = advice.found
    first = found.candidates[0].name
    choice = replace(found.choice, include=found.choice.include | {first})
    alone = await compute_off_loop(
        program.retrieve, task=own, knobs=knobs, permissions=permissions, choice=choice
    )
    if not alone.candidates:
        return None
    shares = {candidate.name: candidate.probability for candidate in alone.candidates}
    other, before = alone.candidates[0], shares.get(first, 0.0)
    clear = other.probability >= _CLEAR * before and other.name != advice.first.name
    return other.name if clear else None


def _opposite(task: str, agent: Agent) -> tuple[str, str] | None:
    """Return what a task asks for that the agent's operation undoes, and that operation."""
    return opposite_operation(task, agent.name, (*texts_of(agent), agent.instructions))
