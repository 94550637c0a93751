"""DecomposeTask: split a task for several agents into steps.

With an LM that is asked to, a signature splits. Without one the task is cut where clauses meet, and
a split is kept where its parts point to different agents, each more surely than chance: a
lexical and retrieval-score split, worse at long-range references ("the same for the other two").
A task that is a list is cut at its items.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import dspy

from ..decision import CONFIDENCE_FLOOR, sigmoid
from ..knobs import KnobValues
from ..lm import BoundedJSONAdapter
from ..prediction import FrozenPrediction
from ..signatures import SplitTask
from ..text import longest_form, one_line
from .clauses import (
    adds,
    clauses,
    count_cues,
    cuts,
    follows,
    has_joint,
    has_word,
    items,
    phrase_cuts,
    without_link,
)
from .prompting import ask

MAX_PARTS = 3
MAX_ASKED = 4  # parts that are taken from an LM: each is a delegation of its own
_MOST_CHARACTERS = 8000  # of a part that an LM wrote: longer is no part, and no task
_GUESSED = 1  # cuts that a delegation looks at, to say whether a task needs several agents
# Confidence in the agent of what stands before a list from which on it is one thing to do, and in
# that of an item below which it is none by itself.
_SURE, _LIKELY = 0.8, 0.3
_THIRD = 0.05  # of log-confidence that a third part may cost


Cut = tuple[tuple[str, ...], bool]  # its texts, and is it at an "and"


@dataclass(frozen=True, slots=True)
class PartScore:
    """What retrieval says of a text: the best agents, the confidence in the first, raw MaxSim."""

    agents: tuple[str, ...]
    confidence: float
    maxsim: float


@dataclass(frozen=True, slots=True)
class TaskPart:
    """A part of a task, and the numbers (from 1) of the parts that must be done before."""

    task: str
    after: tuple[int, ...] = ()


class Decomposition(FrozenPrediction):
    """A task in parts.

    Attributes:
        parts: one where one agent suffices.
        several: probability (0..1) that several agents are needed.
        source: who split it: ``lexical`` or ``lm``.
        calls: LM calls that it took.
    """

    parts: tuple[TaskPart, ...]
    several: float
    source: Literal["lexical", "lm"]
    calls: int = 0


class DecomposeTask(dspy.Module):
    """Split a task into parts for one agent each; most tasks are one part."""

    def __init__(self) -> None:
        super().__init__()
        self.split = dspy.Predict(SplitTask)
        self._adapter = BoundedJSONAdapter()

    def forward(
        self, task: str, knobs: KnobValues, look: Callable[[str], PartScore], lm: bool = False
    ) -> Decomposition:
        """Return the parts of a task, one where it cannot be cut.

        Args:
            task: the task in plain words.
            knobs: the group ``split``.
            look: retrieves a text; only called without an LM.
            lm: whether the LM in ``dspy.settings`` shall split.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        if lm:
            parts = self._asked(task)
            if parts:
                several = float(len(parts) > 1)
                return Decomposition(parts=parts, several=several, source="lm", calls=1)
        best = {n: split for n in range(1, MAX_PARTS + 1) if (split := best_split(task, n, look))}
        several = several_probability(task, best, knobs)
        parts = (TaskPart(task),)
        if 2 in best and seems_several(several, knobs.split.threshold):
            parts = linked(by_items(task, look) or larger(best).texts)
        return Decomposition(parts=parts, several=several, source="lexical", calls=int(lm))

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Decomposition:
            """Return what ``forward`` does."""
            ...

    def _asked(self, task: str) -> tuple[TaskPart, ...]:
        answer = ask(self.split, self._adapter, task=one_line(task))
        if answer is None:
            return ()
        parts = answer.parts
        if any(longest_form(part.task) > _MOST_CHARACTERS for part in parts):
            return ()
        said = [number for number, part in enumerate(parts, 1) if part.task.strip()]
        if len(said) < 2:
            return (TaskPart(task),)  # in the caller's words, not the LM's
        numbers = {old: new for new, old in enumerate(said[:MAX_ASKED], 1)}

        def waits(old: int) -> tuple[int, ...]:
            """Return the parts before it that it waits for: a plan has no circles."""
            named = {numbers[n] for n in parts[old - 1].after if n in numbers}
            return tuple(sorted(n for n in named if n < numbers[old]))

        return tuple(TaskPart(parts[old - 1].task, waits(old)) for old in numbers)


def guessed_cuts(task: str, knobs: KnobValues) -> tuple[Cut, ...] | None:
    """Return the cuts of a task that ``guess_several`` looks at, each in two.

    None where the task holds no joint, such as a list or an "and", or the program never splits.
    """
    if knobs.split.threshold is None or not has_joint(task):
        return None
    return tuple(_two_parts(task, _GUESSED))


def guessed_parts(task: str, knobs: KnobValues) -> tuple[str, ...]:
    """Return the texts that a delegation looks at beside the task."""
    return looked_at(guessed_cuts(task, knobs) or ())


def looked_at(cuts: Sequence[Cut]) -> tuple[str, ...]:
    """Return the texts that ``guess_several`` looks at."""
    return tuple(without_link(text) for texts, _ in cuts for text in texts)


def guess_several(
    task: str,
    cuts: Sequence[Cut] | None,
    knobs: KnobValues,
    look: Callable[[str], PartScore],
    whole: Callable[[], PartScore],
) -> float | None:
    """Return the probability that a task needs several agents, by the model of plans without an LM.

    Of many cuts of a long task only the most even are looked at: each costs two retrievals. Their
    parts may be read in the task's own pass of the encoder, so that a plan may differ.

    Args:
        task: the task in plain words.
        cuts: of it, see ``guessed_cuts``; where they are None, so is the answer.
        knobs: the group ``split``.
        look: retrieves a part.
        whole: what retrieval says of the task; only called where there is a cut.
    """
    if cuts is None:
        return None
    best: dict[int, Split] = {}
    if cuts:
        known = whole()
        best[1] = Split((task,), (known,))
        if two := _best_of(cuts, look, lambda: known):
            best[2] = two
    return several_probability(task, best, knobs)


def several_probability(task: str, best: dict[int, "Split"], knobs: KnobValues) -> float:
    """Return the probability that a task needs several agents; 0 where it cannot be cut in two."""
    features = split_features(task, best)
    return 0.0 if features is None else sigmoid(knobs.split.several.log_odds(features))


def seems_several(several: float | None, threshold: float | None) -> bool:
    """Tell whether that reaches a threshold: to split a task, or to have a person look."""
    return several is not None and threshold is not None and several >= threshold


@dataclass(frozen=True, slots=True)
class Split:
    """One way to cut a task: its texts, what retrieval says of each, and is it at an "and"."""

    texts: tuple[str, ...]
    looks: tuple[PartScore, ...]
    at_phrase: bool = False

    @property
    def weakest_part(self) -> float:
        """Logarithm of the confidence in the part that is least sure."""
        return min(math.log(max(look.confidence, CONFIDENCE_FLOOR)) for look in self.looks)

    @property
    def maxsim(self) -> float:
        """Mean share of a part that is found in its agent's texts."""
        return sum(look.maxsim for look in self.looks) / len(self.looks)


def best_split(task: str, parts: int, look: Callable[[str], PartScore]) -> Split | None:
    """Return the cut into so many parts, all for different agents, whose weakest is surest.

    Args:
        task: the task in plain words.
        parts: how many.
        look: retrieves a part.
    """
    if parts == 1:
        return Split((task,), (look(task),))
    ways = _two_parts(task) if parts == 2 else _between_clauses(task, parts)
    return _best_of(ways, look, lambda: look(task))


def _best_of(
    ways: Sequence[Cut], look: Callable[[str], PartScore], whole: Callable[[], PartScore]
) -> Split | None:
    """Return what is seen of the cut whose weakest part is surest, None where none is good."""
    found = []
    for texts, at_phrase in ways:
        split = _seen(texts, look, at_phrase)
        if split is not None and (not at_phrase or _found_better(split, whole())):
            found.append(split)
    return max(found, key=lambda split: split.weakest_part, default=None)


def _two_parts(task: str, most: int | None = None) -> list[Cut]:
    """Return the cuts in two to look at: between clauses, then at an "and", the most even first."""
    between = _between_clauses(task, 2, most)
    left = None if most is None else most - len(between)
    at_phrases = sorted(phrase_cuts(task), key=_unevenness)[:left]
    return [*between, *((texts, True) for texts in at_phrases)]


def _between_clauses(task: str, parts: int, most: int | None = None) -> list[Cut]:
    found = sorted(cuts(clauses(task), parts), key=_unevenness)[:most]
    return [(texts, False) for texts in found]


def _found_better(split: "Split", whole: PartScore) -> bool:
    """Tell whether the halves of a phrase are found better than the whole, taken together."""
    return split.maxsim > whole.maxsim


def _unevenness(texts: Sequence[str]) -> int:
    lengths = [len(text) for text in texts]
    return max(lengths) - min(lengths)


def _seen(
    texts: tuple[str, ...], look: Callable[[str], PartScore], at_phrase: bool
) -> Split | None:
    """Return a cut with what retrieval says of its parts.

    None where one has no word, or two are for one agent.
    """
    own = tuple(map(without_link, texts))
    if not all(map(has_word, own)):
        return None
    looks = tuple(map(look, own))
    agents = {seen.agents[0] for seen in looks if seen.agents}
    return Split(texts, looks, at_phrase) if len(agents) == len(texts) else None


def split_features(task: str, best: dict[int, Split]) -> dict[str, float | None] | None:
    """Return the features of P(several agents), None where the task cannot be cut.

    ``weakest_part``: log-confidence of the weaker of two parts; ``maxsim_gain``: what cutting
    adds to the share that is found; ``cues``: words of sequence and the "and" of the cut, up to 2;
    ``among_best``: parts whose agent is among the whole task's first three.
    """
    if 2 not in best:
        return None
    whole, two = best[1].looks[0], best[2]
    joined = two.at_phrase or adds(two.texts[1])
    return {
        "weakest_part": two.weakest_part,
        "maxsim_gain": two.maxsim - whole.maxsim,
        "cues": float(min(count_cues(task) + joined, 2)),
        "among_best": float(sum(look.agents[0] in whole.agents for look in two.looks)),
    }


def by_items(task: str, look: Callable[[str], PartScore]) -> tuple[str, ...]:
    """Return a task that is a list cut at its items: whoever wrote it drew the lines.

    The first part takes what stands before the list. Items that follow on each other and are for
    one agent stay together. Nothing is returned of a task that is no list, where all are for one
    agent, or where they may be what one thing is made of: what stands before them is for some
    agent by itself, or an item seems to be for none.
    """
    head, listed = items(task)
    if head and listed and look(head).confidence >= _SURE:
        return ()
    parts: list[tuple[tuple[str, ...], str]] = []
    for item in (f"{head} {text}".strip() if text is listed[0] else text for text in listed):
        seen = look(without_link(item))
        if seen.confidence < _LIKELY:
            return ()
        if parts and parts[-1][0] == seen.agents[:1]:
            parts[-1] = parts[-1][0], f"{parts[-1][1]}\n{item}"
        else:
            parts.append((seen.agents[:1], item))
    return tuple(text for _, text in parts) if len(parts) > 1 else ()


def larger(best: dict[int, Split]) -> Split:
    """Return the cut into three where its weakest part is hardly weaker, else into two."""
    if 3 in best and best[3].weakest_part > best[2].weakest_part - _THIRD:
        return best[3]
    return best[2]


def linked(texts: Sequence[str]) -> tuple[TaskPart, ...]:
    """Return the parts; one that opens with a word of sequence waits for the one before."""
    return tuple(
        TaskPart(without_link(text), (number - 1,) if number > 1 and follows(text) else ())
        for number, text in enumerate(texts, 1)
    )
