"""Read a task: without the names of agents, and without what it says is not wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..embedders import Embedder, Encoded, PoolingEmbedder, encode_parts, pools_tokens
from ..knobs import KnobValues
from ..system import beside
from ..text import without_negated
from .fusion import read_lexically
from .index import Index, Lexical, Query


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
    the time. Words are looked at meanwhile, of the parts too.

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
        self._lexical: dict[str, Lexical] = {}
        self._part_ids: dict[str, np.ndarray] = {}  # of tokens

    def read(
        self,
        index: Index,
        task: str,
        knobs: KnobValues,
        language_of: Callable[[str], str | None] = lambda _: None,
    ) -> Query:
        """Return a task, or a part of it, as ``read_task`` does.

        Args:
            index: the agents.
            task: the task or a part.
            knobs: by which the words will be scored.
            language_of: names a language that the embedder does not support.
        """
        words = self._read(index, task)
        encode = partial(self._encoded, index, words)
        if words.text in self._encodings or task in self._parts:
            made, language = encode(), language_of(task)
        else:
            made, language = beside(encode, partial(self._look, index, words, knobs, language_of))
        self._encodings |= made
        query = words.with_encoding(self._encodings[words.text], language)
        return replace(query, lexical=self._lexical.get(words.text))

    def _look(
        self,
        index: Index,
        words: Words,
        knobs: KnobValues,
        language_of: Callable[[str], str | None],
    ) -> str | None:
        """Score the words of a text, and of parts that are read next; return its language."""
        parts = self._part_texts(index)
        for text in (words.text, *parts):
            self._lexical[text] = read_lexically(index, text, knobs)
        if parts and pools_tokens(index.embed):
            self._part_ids |= zip(parts, index.embed.token_ids(parts), strict=True)
        return language_of(words.task)

    def _read(self, index: Index, task: str) -> Words:
        if index is not self._index:
            self._index, self._words, self._lexical = index, {}, {}
        if task not in self._words:
            self._words[task] = read_words(index, task)
        return self._words[task]

    def _encoded(self, index: Index, words: Words) -> dict[str, Encoded]:
        """Return what belongs to the same pass as a text: its encoding, and those of parts."""
        if words.text in self._encodings:
            return {}
        embed = index.embed
        if pools_tokens(embed) and words.task not in self._parts:
            alone = _encode(embed, [words.text])
            if self._whole is None:
                self._whole = alone[words.text]
            return alone
        pooled = self._pooled(index, embed) if pools_tokens(embed) else None
        return pooled or _encode(embed, [words.text, *self._part_texts(index)])

    def _pooled(self, index: Index, embed: PoolingEmbedder) -> dict[str, Encoded] | None:
        """Return the encodings of the parts from the pass over the task, None where it has none."""
        if self._whole is None:
            return None
        texts = self._part_texts(index)
        known = [self._part_ids[text] for text in texts if text in self._part_ids]
        token_ids = known if len(known) == len(texts) else None
        encodings = encode_parts(embed, self._whole, texts, token_ids)
        return None if encodings is None else dict(zip(texts, encodings, strict=True))

    def _part_texts(self, index: Index) -> list[str]:
        """Return the parts as the embedder sees them."""
        return [self._read(index, part).text for part in self._parts]


def _encode(embed: Embedder, texts: Sequence[str]) -> dict[str, Encoded]:
    """Return encodings by text, from one pass."""
    each = list(dict.fromkeys(texts))
    return dict(zip(each, embed.encode(each), strict=True))


def read_task(index: Index, task: str, language: str | None = None) -> Query:
    """Return a task as it is read against the agents of an index."""
    words = read_words(index, task)
    return words.with_encoding(index.embed.encode([words.text])[0], language)
