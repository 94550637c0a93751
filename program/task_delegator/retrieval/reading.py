"""Read a task: without the names of agents, and without what it says is not wanted."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..embedders import Encoded, encode_parts, pools_tokens
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
    """Texts that one delegation reads: the task, and parts of it.

    Where the embedder can, the parts are encoded from the one pass over the task. Else they are
    encoded side by side with it: a pass over a short text leaves a processor idle for a third of
    the time.

    Args:
        parts: of the task, as ``encode_parts`` takes them; nothing is done before a text is read.
        whole: the task's encoding; None where the first text that is read, but for a part, is
            the task.
    """

    def __init__(self, parts: Sequence[str] = (), whole: Encoded | None = None) -> None:
        self._parts, self._whole = tuple(parts), whole
        self._encodings: dict[str, Encoded] = {}
        self._index: Index | None = None
        self._words: dict[str, Words] = {}  # of that index

    def read(self, index: Index, task: str, language: str | None = None) -> Query:
        """Return a task, or a part of it, as ``read_task`` does."""
        words = self._read(index, task)
        if words.text not in self._encodings:
            self._encodings |= self._encoded(index, words)
        return words.with_encoding(self._encodings[words.text], language)

    def _read(self, index: Index, task: str) -> Words:
        if index is not self._index:
            self._index, self._words = index, {}
        if task not in self._words:
            self._words[task] = read_words(index, task)
        return self._words[task]

    def _encoded(self, index: Index, words: Words) -> dict[str, Encoded]:
        """Return what belongs to the same pass as a text: its encoding, and those of parts."""
        embed, is_part = index.embed, words.task in self._parts
        parts = [self._read(index, part).text for part in self._parts] if self._parts else []
        pooled = None
        if pools_tokens(embed):
            if not is_part:
                parts = []
            elif self._whole is not None:
                pooled = encode_parts(embed, self._whole, parts)
        if pooled is None:
            parts = list(dict.fromkeys((words.text, *parts)))
            pooled = embed.encode(parts)
        if self._whole is None and not is_part:
            self._whole = pooled[0]
        return dict(zip(parts, pooled, strict=True))


def read_task(index: Index, task: str, language: str | None = None) -> Query:
    """Return a task as it is read against the agents of an index."""
    return ReadAhead().read(index, task, language)
