"""The names of agents in what others write: naming an agent is no way to get it.

A name and a text are compared word by word in their normal form. What stands between two words
does not count. The time grows linearly with the text.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Generic, TypeVar

from .normal import Word, singular, words_of, words_of_task
from .sanitize import plain
from .topics import is_subject, is_topic

_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W_A-Z]+")  # the words of "RefundDesk"
_HUMPED = re.compile(r"[^\W_][A-Z]|[A-Z]\d")  # where this is nowhere, its words are the humps
_HYPHENED = re.compile(r"[^\W_A-Z]+(?:-[^\W_A-Z]+)+")
_GLUE = frozenset("_./:")  # joins the words of an identifier; a hyphen joins those of prose too
_FILLERS = frozenset({"a", "an", "and", "for", "of", "s", "the"})  # "desk of the refunds"
# Words around a name that say nothing of what is wanted: "please ask the Refund Desk".
_AROUND = frozenset(
    word.normal
    for word in words_of(
        "a an the my our this that it me us to for with over through hi hello hey dear please pls "
        "kindly thanks thank you ask call contact use try give pass hand send forward route"
    )
)
LONGEST_NAME = 16  # words by which a name is found: with more, hostile names would take seconds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Name:
    """A name and how it is told from a word that is merely talked about.

    Attributes:
        name: as it is registered.
        first: its first word.
        proper: it has a capital beyond its first letter, so it is a name where a sentence opens.
        any_case: it is proper and of several words, so it is a name however it is written.
        topic: its words, where they say what is done and not who does it; else empty.
        glue: what joins its words, where it is an identifier; else empty.
        before, behind: marks at its ends that belong to it, of names of one word ("C++").
    """

    name: str
    first: Word
    proper: bool
    any_case: bool
    topic: tuple[Word, ...]
    glue: frozenset[str]
    before: str = ""
    behind: str = ""

    def is_meant(self, text: str, found: Sequence[Word]) -> bool:
        """Tell whether words that are those of the name stand for the agent."""
        start, end = found[0].start, found[-1].end
        if not (text.endswith(self.before, 0, start) and text.startswith(self.behind, end)):
            return False
        if self.any_case:
            content = [word for word in found if word.normal not in _FILLERS]
            return not (self.topic and is_subject(text, content, self.topic))
        if self.glue and len(found) > 1:
            between = (text[one.end : other.start] for one, other in pairwise(found))
            return all(self.glue & set(marks) for marks in between)
        letters = zip(self.first.cased, found[0].cased, strict=False)
        same = all(own.isupper() == other.isupper() for own, other in letters)
        return same and (self.proper or bool(self.glue) or not opens_sentence(text, start))


def is_identifier(name: str) -> bool:
    """Tell whether a name is one word to a program: "refund_bot", "csharp-xunit", not "Add-On"."""
    return "_" in name or _HYPHENED.fullmatch(name) is not None


def _known(name: str, shown: str, words: Sequence[Word]) -> _Name:
    proper = shown[1:] != shown[1:].lower()
    marks = frozenset(character for character in shown if not character.isalnum())
    alone = len(words) == 1
    return _Name(
        name=name,
        first=words[0],
        proper=proper,
        any_case=proper and not alone and not is_identifier(shown),
        topic=tuple(words) if is_topic(words) else (),
        glue=_GLUE | marks if is_identifier(shown) else frozenset(),
        before=shown[: words[0].start] if alone else "",
        behind=shown[words[-1].end :] if alone else "",
    )


@lru_cache(maxsize=1)  # two tables are filled name by name
def words_of_name(name: str) -> tuple[str, tuple[Word, ...]]:
    """Return a name as it is compared, and the words by which it is found."""
    shown = plain(name).strip()
    return shown, tuple(words_of(shown)[:LONGEST_NAME])


def words_that_tell(words: Iterable[Word]) -> list[Word]:
    """Return the words of a text that may say what is wanted; "please ask the" has none."""
    return [word for word in words if word.normal not in _AROUND]


class AgentMentions:
    """Names of agents, to be stripped from untrusted text.

    Names that may well be what is talked about are spared: those without a capital letter
    ("credit score"), and those that look like the opening of a sentence ("Credit score") where
    they stand there.

    Args:
        names: those of several words with capitals within ("Refund Desk") are found in any
            case and order, but where they say what the text is about ("my expense report" of
            "Expense Reports", see ``topics``), identifiers ("refund_bot") where they are written
            as such, others where they are capitalized as they are.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._ordered: NameTable[_Name] = NameTable()
        self._shuffled: NameTable[_Name] = NameTable()
        self._among: Container[str] | None = None
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Add a name; a thread that looks for names meanwhile sees it or does not."""
        shown, words = words_of_name(name)
        if words and (shown != shown.lower() or is_identifier(shown)):
            self._add(_known(name, shown, words), shown, words)

    def among(self, names: Container[str]) -> "AgentMentions":
        """Return what finds some of the names alone; the table is shared."""
        some = copy(self)
        some._among = names
        return some

    def _add(self, known: _Name, shown: str, words: Sequence[Word]) -> None:
        self._ordered.add([word.normal for word in words], known)
        if known.any_case:
            joined = "".join(word.cased for word in words)
            self._ordered.add([singular(joined.casefold())], known)
            content = _content(shown)[:LONGEST_NAME]
            if len(content) > 1:
                self._shuffled.add(sorted(word.normal for word in content), known)

    def strip_from(self, task: str) -> tuple[str, tuple[str, ...]]:
        """Return a text without the names, and those that it held, the longest first.

        Args:
            task: any text; where it holds nothing but names, and words that only ask for them, it
                stays as it is.
        """
        text = plain(task)
        held: set[str] = set()
        spans: list[tuple[int, int]] = []
        for names, found in (
            *self._ordered.matches(words_of_task(text), lambda normals: normals),
            *self._shuffled.matches(_content(text), sorted),
        ):
            meant = [
                known
                for known in names
                if (self._among is None or known.name in self._among)
                and known.is_meant(text, found)
            ]
            held.update(known.name for known in meant)
            spans += [
                (found[0].start - len(known.before), found[-1].end + len(known.behind))
                for known in meant
            ]
        left = _without(text, spans)
        names = tuple(sorted(held, key=lambda name: (-len(name), name)))
        return (left if words_that_tell(words_of(left)) else text), names


class NameTable(Generic[T]):
    """Names by their words, looked up in all stretches of a text that are as long as one."""

    def __init__(self) -> None:
        self._sums: set[int] = set()
        self._words: set[str] = set()
        self._sizes: frozenset[int] = frozenset()  # replaced: who iterates sees one state
        self._names: dict[tuple[str, ...], list[T]] = {}

    def add(self, normals: Sequence[str], name: T) -> None:
        """Add a name by its words."""
        self._names.setdefault(tuple(normals), []).append(name)
        self._sums.add(sum(map(hash, normals)))
        self._words.update(normals)
        if len(normals) not in self._sizes:
            self._sizes |= {len(normals)}

    def matches(
        self, words: Sequence[Word], order: Callable[[list[str]], Sequence[str]]
    ) -> Iterator[tuple[list[T], Sequence[Word]]]:
        """Return the names whose words are a stretch of a text, with that stretch.

        Args:
            words: of the text.
            order: how the words of the names were ordered.
        """
        run, runs = 0, []  # words from each on that stand in some name
        for word in reversed(words):
            run = run + 1 if word.normal in self._words else 0
            runs.append(run)
        starts = [(start, run) for start, run in enumerate(reversed(runs)) if run]
        if not starts:
            return
        sums = list(accumulate((hash(word.normal) for word in words), initial=0))
        for size in sorted(self._sizes):
            for start, run in starts:
                if size <= run and sums[start + size] - sums[start] in self._sums:
                    found = words[start : start + size]
                    key = tuple(order([word.normal for word in found]))
                    if key in self._names:
                        yield self._names[key], found


def _content(text: str) -> list[Word]:
    """Return the words of a text that a name in another order has too, humps taken apart."""
    whole = text.isascii() and not _HUMPED.search(text)
    words = words_of_task(text) if whole else words_of(text, _HUMP)
    return [word for word in words if word.normal not in _FILLERS]


def opens_sentence(text: str, start: int) -> bool:
    """Tell whether a sentence or a line may begin at a place."""
    before = text[max(start - 2, 0) : start]
    return not before or before[-1] == "\n" or (before[0] in ".!?\n" and before[-1].isspace())


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text with a blank in the place of each stretch of it that the spans cover."""
    parts, done = [], 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], " "]
        done = max(done, end)
    return "".join([*parts, text[done:]])
