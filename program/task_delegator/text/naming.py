"""Agents that a task names on purpose: exactly, in its own words, and not to rule them out.

An identifier ("csharp-xunit", "getQuote"), a name of several words as it is registered, any name
that stands alone in quotes, and one beside which the task says nothing ("please ask the ...")
count: in any case where it has several words. A common word that is a name, other spellings, and
names in text that is quoted, pasted or negated do not. The time grows linearly with the text.
"""

import re
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from copy import copy

from .mentions import NameTable, opens_sentence, words_of_name, words_that_tell
from .negation import negated_spans
from .normal import words_of_task
from .quoted import quoted_spans
from .sanitize import plain

_IDENTIFIER = re.compile(r"\S*(?:[^\W_][-_./][^\W_]|[^\W\dA-Z_][A-Z])\S*")
_ROLE = r"(?:agent|assistant|bot|skill|tool)"
_ROLE_BEHIND = re.compile(rf"['\"`]?\s+{_ROLE}\b", re.IGNORECASE)
_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb*"
_JOINS = frozenset("-_/\\@")
_MOST_SPACES = 8  # around a name in quotes


class NamedAgents:
    """Find the agents that a task names on purpose.

    Args:
        names: of all agents that the caller may use.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._table: NameTable[tuple[str, str]] = NameTable()
        self._among: Container[str] | None = None
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Add a name; a thread that looks for names meanwhile sees it or does not."""
        shown, words = words_of_name(name)
        if words:
            core = " ".join(shown[words[0].start : words[-1].end].split())
            self._table.add([word.normal for word in words], (name, core))

    def among(self, names: Container[str]) -> "NamedAgents":
        """Return what finds some of the names alone; the table is shared."""
        some = copy(self)
        some._among = names
        return some

    def find_in(self, task: str) -> tuple[str, ...]:
        """Return the named agents, in the order of the text; of overlapping names the longest."""
        text = plain(task)
        every = words_of_task(text)
        found = [
            (words[0].start, words[-1].end, name, core)
            for held, words in self._table.matches(every, list)
            for name, core in held
            if self._among is None or name in self._among
        ]
        if not found:
            return ()
        quoted = [span for span in quoted_spans(text) if not _stands_alone(text, span, found)]
        spoken = _Spans([*quoted, *negated_spans(text)])
        telling = words_that_tell(every) or every
        whole = telling[0].start, telling[-1].end
        named, done = [], 0
        for start, end, name, core in sorted(found, key=lambda each: (each[0], -each[1], each[2])):
            if start < done or spoken.touch(start, end):
                continue
            if _is_exact(text, start, end, core, alone=start <= whole[0] and whole[1] <= end):
                named.append(name)
                done = end
        return tuple(dict.fromkeys(named))


class _Spans:
    """Stretches of a text, to ask whether a place lies in one."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def touch(self, start: int, end: int) -> bool:
        """Tell whether a stretch reaches into one of them."""
        place = bisect_right(self._starts, end - 1) - 1
        return place >= 0 and self._ends[place] > start


def _is_exact(text: str, start: int, end: int, core: str, *, alone: bool) -> bool:
    """Tell whether a stretch is a name as it is registered, and no part of a longer one.

    Args:
        text, start, end: where it stands.
        core: the name.
        alone: whether the text says nothing else.
    """
    written = " ".join(text[start:end].split())
    if _in_quotes(text, start, end) or (alone and " " in core):
        return written.casefold() == core.casefold()
    if alone and written == core:
        return True
    if written[1:] != core[1:] or written[:1].casefold() != core[:1].casefold():
        return False
    before, behind = text[max(start - 1, 0) : start], text[end : end + 2]
    if before in _JOINS or (behind[:1] in _JOINS and behind[1:].isalnum()):
        return False
    if _IDENTIFIER.fullmatch(core):
        return True
    if " " not in core:
        return False
    if _ROLE_BEHIND.match(text, end):
        return True
    if written != core or core == core.lower():
        return False
    proper = core[1:] != core[1:].lower()
    return proper or behind.startswith(":") or not opens_sentence(text, start)


def _in_quotes(text: str, start: int, end: int) -> bool:
    before = text[max(start - _MOST_SPACES, 0) : start].rstrip()
    behind = text[end : end + _MOST_SPACES].lstrip()
    return bool(before and behind) and before[-1] in _QUOTES and behind[0] in _QUOTES


def _stands_alone(
    text: str, span: tuple[int, int], found: Sequence[tuple[int, int, str, str]]
) -> bool:
    """Tell whether a stretch is a name in quotes and nothing else."""
    if text[span[0]] not in _QUOTES or text.startswith("```", span[0]):
        return False
    inner = text[span[0] + 1 : span[1] - 1].strip()
    return bool(inner) and any(
        span[0] < start and end < span[1] and end - start >= len(inner.strip(".,:;!?"))
        for start, end, _, _ in found
    )
