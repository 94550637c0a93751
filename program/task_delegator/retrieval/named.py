"""An agent that a task names on purpose is on the shortlist, and first unless the rest objects."""

import re
from collections.abc import Sequence

import numpy as np

from ..delegation import TOP
from ..knobs import KnobValues
from ..text import without_negated
from .fusion import log_posterior, score
from .index import Index, Query
from .largest_scores import largest

_AHEAD = float(np.log(2.0))  # of the second, in log-odds: a name is no strong evidence
# Where the other sentences read like a task for another agent: on validation, 95 % of requests to
# which the name of an unrelated agent was added, and none of those that name the right one.
_FOUND = 0.5  # share of a sentence that is found in that agent's texts, at least
_APART = 2.0  # log-odds by which it leads the named one, at least
_ALIKE = 0.55  # cosine of the two descriptions from which on they are of one kind
_SENTENCES = 6  # that are looked at beside all of them together
_FEWEST_WORDS = 3
_LONG, _STRETCH = 24, 12  # words: a longer sentence is read in stretches, as it may lack its stop
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def favor_named(
    index: Index,
    query: Query,
    knobs: KnobValues,
    logits: np.ndarray,
    left_out: Sequence[int] = (),
) -> tuple[np.ndarray, bool, bool]:
    """Return the log-posterior of the agents with those that the task names among the best.

    Args:
        index, query: the agents and the task as it was read.
        knobs: as for ``score``.
        logits: of the posterior without their names, shape (agents,).
        left_out: places of agents that nothing is for.

    Returns:
        The log-posterior up to a constant, shape (agents,); whether one agent is named and the
        rest does not speak against it, so that it is first; whether it is so for its name alone.
    """
    rows = [index.names.index(name) for name in query.named]
    if not rows:
        return logits, False, False
    raised = logits.copy()
    last = logits[largest(logits, TOP)].min()
    raised[rows] = np.maximum(raised[rows], np.nextafter(last, np.inf))
    if len(rows) > 1:
        return raised, False, False
    first = int(logits.argmax())
    if first == rows[0]:
        return raised, True, False
    if _rest_objects(index, query, knobs, rows[0], left_out):
        return raised, False, False
    raised[rows[0]] = logits[first] + _AHEAD
    return raised, True, True


def _rest_objects(
    index: Index, query: Query, knobs: KnobValues, named: int, left_out: Sequence[int]
) -> bool:
    """Tell whether the sentences without the name read like a task for an agent of another kind."""
    for text in _rest(index, query.task):
        scored = score(index, index.read(text), knobs, left_out)
        logits = log_posterior(scored.z_scores, knobs, left_out)
        first = int(logits.argmax())
        if (
            scored.maxsim >= _FOUND
            and logits[first] - logits[named] >= _APART
            and index.closeness(first, named) < _ALIKE
        ):
            return True
    return False


def _rest(index: Index, task: str) -> Sequence[str]:
    """Return the sentences of a task that name nobody, together and one by one."""
    stretches = [part for sentence in _SENTENCE.split(task) for part in _stretches(sentence)]
    sentences = [part for part in stretches if not index.named.find_in(part)]
    read = [without_negated(index.mentions.strip_from(text)[0]) for text in sentences]
    rest = [text for text in read if len(text.split()) >= _FEWEST_WORDS]
    return [" ".join(rest), *rest[:_SENTENCES]] if len(rest) > 1 else rest


def _stretches(sentence: str) -> list[str]:
    """Return a sentence, or stretches of one that is so long that it may be several."""
    words = sentence.split()
    if len(words) <= _LONG:
        return [sentence]
    return [" ".join(words[at : at + _STRETCH]) for at in range(0, len(words), _STRETCH)]
