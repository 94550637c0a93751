"""Filter what an LM wrote for a dataset: copies, leaks, and requests that fit another agent.

Round-trip consistency (Alberti et al., 2019; Promptagator, Dai et al., 2023): a request is kept
where it leads back to the agent that it was written for. Retrieval alone would keep what is easy
for retrieval; where it is not sure, an LM is asked.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from optimize.data import NEAR_COPY
from task_delegator.registry import Agent, Registry
from task_delegator.text import fold, one_line, overlap, overlapping, words

MAX_SAMPLES = 5  # of an agent, as in the seed
_MIN_WORDS = 3  # of a request; "help" says nothing
_QUOTES = "\"'`\u201c\u201d"
_NUMBER = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Draft:
    """A request as it was written, and where it comes from.

    Attributes:
        voice: key of ``signatures.VOICES``.
        call: of the LM, in the file of answers.
    """

    text: str
    agent: str
    domain: str
    voice: str
    call: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A request that was not kept, and why."""

    draft: Draft
    reason: str


Filter = Callable[[Sequence[Draft], Registry], Collection[int]]
Judge = Callable[[Draft], str | None]


def clean(text: str) -> str:
    """Return a text on one line, without a list's number and without quotes around it."""
    line = _NUMBER.sub("", one_line(text))
    if len(line) > 1 and line[0] in _QUOTES and line[-1] in _QUOTES:
        line = line[1:-1].strip()
    return line


def too_short(drafts: Sequence[Draft], registry: Registry) -> Collection[int]:
    """Return the requests that say next to nothing."""
    return {i for i, draft in enumerate(drafts) if len(draft.text.split()) < _MIN_WORDS}


def names_agent(drafts: Sequence[Draft], registry: Registry) -> Collection[int]:
    """Return the requests that name their agent."""
    return {i for i, draft in enumerate(drafts) if mentions_name(draft.text, draft.agent)}


def repeats_sample(drafts: Sequence[Draft], registry: Registry) -> Collection[int]:
    """Return the requests that repeat a sample of any agent, which a program learns from."""
    samples = SimilarTexts(s for agent in registry for s in agent.user_request_samples)
    return {i for i, draft in enumerate(drafts) if draft.text in samples}


def two_agents(drafts: Sequence[Draft], registry: Registry) -> Collection[int]:
    """Return the requests that were written for one agent and, nearly, for another as well."""
    pairs = _copies(drafts)
    return {i for pair in pairs if drafts[pair[0]].agent != drafts[pair[1]].agent for i in pair}


def repeats_request(drafts: Sequence[Draft], registry: Registry) -> Collection[int]:
    """Return the requests that repeat an earlier one, which could be in another split."""
    dropped: set[int] = set()
    for first, second in sorted(_copies(drafts)):
        if first not in dropped:
            dropped.add(second)
    return dropped


# In this order: each sees what those before it left.
FILTERS: dict[str, Filter] = {
    "too short": too_short,
    "names its agent": names_agent,
    "repeats a sample": repeats_sample,
    "written for two agents": two_agents,
    "repeats a request": repeats_request,
}


def filter_drafts(
    drafts: Sequence[Draft], registry: Registry, judge: Judge
) -> tuple[list[Draft], list[Drop]]:
    """Return the requests that are kept, in order, and those that are not.

    Args:
        drafts: requests of all agents together, in the order they were written.
        judge: says why a request does not lead back to its agent; None where it does.
    """
    kept, dropped = list(drafts), []
    for reason, filtered in FILTERS.items():
        out = filtered(kept, registry)
        dropped += [Drop(kept[i], reason) for i in sorted(out)]
        kept = [draft for i, draft in enumerate(kept) if i not in out]
    judged = [(draft, judge(draft)) for draft in kept]
    dropped += [Drop(draft, reason) for draft, reason in judged if reason is not None]
    return [draft for draft, reason in judged if reason is None], dropped


def find_fault(name: str, description: str, others: Collection[Agent]) -> str | None:
    """Say why an agent cannot join others; None where it can."""
    if not name or not description:
        return "says nothing of itself"
    if any(fold(name) == fold(other.name) for other in others):
        return "has another's name"
    description_words = words(description)
    if any(overlap(description_words, words(other.description)) >= NEAR_COPY for other in others):
        return "has another's description"
    return None


def filter_samples(
    samples: Sequence[str], name: str, others: Collection[Agent]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the samples that an agent keeps, and the reason for each that it does not."""
    known = SimilarTexts(sample for other in others for sample in other.user_request_samples)
    kept: list[str] = []
    reasons = []
    for sample in (clean(sample) for sample in samples):
        if len(sample.split()) < _MIN_WORDS:
            reasons.append("too short")
        elif mentions_name(sample, name):
            reasons.append("names its agent")
        elif sample in known:
            reasons.append("repeats a sample")
        elif len(kept) == MAX_SAMPLES:
            reasons.append("more than enough")
        else:
            kept.append(sample)
            known.add(sample)
    return tuple(kept), reasons


def mentions_name(text: str, name: str) -> bool:
    """Tell whether a text holds an agent's name, as ``optimize.data check`` looks for it."""
    return fold(name) in fold(text)


class SimilarTexts:
    """Texts, and whether another repeats one of them exactly or nearly."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._folded: set[str] = set()
        self._words: list[frozenset[str]] = []
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Take a text in."""
        self._folded.add(fold(text))
        self._words.append(words(text))

    def __contains__(self, text: str) -> bool:
        text_words = words(text)
        return fold(text) in self._folded or any(
            overlap(text_words, other) >= NEAR_COPY for other in self._words
        )


def _copies(drafts: Sequence[Draft]) -> set[tuple[int, int]]:
    """Return the pairs of requests of which one repeats the other, exactly or nearly."""
    pairs = {(i, j) for i, j, _ in overlapping([words(draft.text) for draft in drafts], NEAR_COPY)}
    first: dict[str, int] = {}
    for i, draft in enumerate(drafts):
        key = fold(draft.text)
        if key in first:
            pairs.add((first[key], i))
        first.setdefault(key, i)
    return pairs
