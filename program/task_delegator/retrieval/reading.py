"""Read a task: without the names of agents, and without what it says is not wanted."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..embedders import Encoded
from ..text import without_negated
from .index import Index, Query


@dataclass(frozen=True, slots=True)
class Words:
    """A task before it is encoded; attributes as in ``Query``."""

    task: str
    shown: str
    text: str
    mentions: tuple[str, ...]
    named: tuple[str, ...]

    def with_encoding(self, encoded: Encoded, language: str | None = None) -> Query:
        """Return the task with its text as the embedder sees it, and its foreign language."""
        return Query(self.text, encoded, self.task, self.shown, self.mentions, self.named, language)


def read_words(index: Index, task: str) -> Words:
    """Return what a task says to the agents of an index."""
    shown, mentions = index.mentions.strip_from(task)
    return Words(task, shown, without_negated(shown), mentions, index.named.find_in(task))


class ReadAhead:
    """Texts that one delegation reads one after the other, encoded side by side with the first.

    An encoder's pass over a short text leaves a processor idle for a third of the time.

    Args:
        texts: that will be read beside the first; nothing is done before that is.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._texts = tuple(texts)
        self._encodings: dict[str, Encoded] = {}

    def read(self, index: Index, task: str, language: str | None = None) -> Query:
        """Return a task as ``read_task`` does."""
        words = read_words(index, task)
        if words.text not in self._encodings:
            further = (read_words(index, text).text for text in self._texts)
            texts, self._texts = list(dict.fromkeys((words.text, *further))), ()
            self._encodings |= zip(texts, index.embed.encode(texts), strict=True)
        return words.with_encoding(self._encodings[words.text], language)


def read_task(index: Index, task: str, language: str | None = None) -> Query:
    """Return a task as it is read against the agents of an index."""
    return ReadAhead().read(index, task, language)
