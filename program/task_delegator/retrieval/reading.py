"""Read a task: without the names of agents, and without what it says is not wanted."""

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


def read_task(index: Index, task: str, language: str | None = None) -> Query:
    """Return a task as it is read against the agents of an index."""
    words = read_words(index, task)
    return words.with_encoding(index.read(words.text).encoded, language)
