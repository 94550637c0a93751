"""Store: what agents say, encoded and counted once, whoever may see them.

Entries are added, never changed. Whoever reads holds a snapshot and the entries of the agents
that it sees; what is added later is not in it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from weakref import WeakValueDictionary

import numpy as np

from ..embedders import Embedder, Encoded, encode_documents
from ..registry import Agent, description_text, passages_of, searched_name
from ..system import Lock
from ..text import AgentMentions, NamedAgents
from .int8_products import unsigned
from .lexical import CharacterGrams, StemmedWords, Terms, counted
from .passages import Passages
from .postings import Corpus, Counted
from .rows import Rows, stacked
from .token_products import Tokens

_AT_ONCE = 1000  # texts that are encoded together
Said = tuple[str, ...]
_UNUSED = 64  # agents that are gone whose passages are remembered, at least


@dataclass(frozen=True, slots=True)
class Content:
    """What an index reads of an agent.

    Attributes:
        description: what the description channel embeds.
        samples: requests that the agent is for.
        passages: further texts that late interaction compares.
        document: all that words and characters are read of.
        name: of the agent: others say the same and are still another's.
    """

    description: str
    samples: tuple[str, ...]
    passages: tuple[str, ...]
    document: str
    name: str

    @classmethod
    def of(cls, agent: Agent, texts: Sequence[str] = (), encoded: Sequence[str] = ()) -> "Content":
        """Return an agent's content with passages: as words, and as late interaction reads them."""
        said = (searched_name(agent.name), agent.description, agent.use_when)
        return cls(
            description=description_text(agent),
            samples=agent.user_request_samples,
            passages=tuple(encoded),
            document=" ".join((*said, *agent.user_request_samples, *texts)),
            name=agent.name,
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the texts that are embedded."""
        return (self.description, *self.samples, *self.passages)


class SortedNames:
    """Names to be looked up, in no more memory than their order takes.

    Args:
        names: ascending.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        place = bisect_left(self._names, name)
        return place < len(self._names) and self._names[place] == name


class HeldText:
    """A text as the embedder sees it, held once.

    Attributes:
        vector: see ``Encoded``.
        token_ids: the same.
        tokens: uint8 with the zero at 128, shape (tokens, dim).
    """

    __slots__ = ("__weakref__", "token_ids", "tokens", "vector")

    def __init__(self, vector: np.ndarray, token_ids: np.ndarray, tokens: np.ndarray) -> None:
        self.vector, self.token_ids, self.tokens = vector, token_ids, tokens

    def encoded(self) -> Encoded:
        """Return it as the embedder gave it."""
        return Encoded(self.vector, self.token_ids, (self.tokens ^ 0x80).view(np.int8))


class Entry:
    """An agent's content in a store.

    Attributes:
        number: of its description among the rows, and of its document.
        first_sample, samples: where its samples begin among theirs, and how many there are.
        content: what was read.
        held: its texts, in the order of ``content.texts``.
        tokens: of these texts.
    """

    __slots__ = ("__weakref__", "content", "first_sample", "held", "number", "samples", "tokens")

    def __init__(
        self,
        number: int,
        first_sample: int,
        content: Content,
        held: tuple[HeldText, ...],
        tokens: Tokens,
    ) -> None:
        self.number, self.first_sample, self.samples = number, first_sample, len(content.samples)
        self.content, self.held, self.tokens = content, held, tokens


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All that a store holds at a moment.

    Attributes:
        descriptions, samples: vectors.
        words, grams, tokens: which documents hold which terms; documents are entries by number.
    """

    descriptions: Rows
    samples: Rows
    words: Corpus
    grams: Corpus
    tokens: Corpus

    @classmethod
    def empty(cls) -> "Snapshot":
        """Return the snapshot of a store that holds nothing."""
        return cls(Rows(), Rows(), Corpus.empty(), Corpus.empty(), Corpus.empty())


class Store:
    """Entries of agents' contents, each made once.

    Args:
        embed: the embedder.
        known: texts that were encoded before, by text; reused.
        base: the store that has the vectors, of one that reads passages too.
    """

    def __init__(
        self,
        embed: Embedder,
        known: Mapping[str, Encoded] | None = None,
        base: "Store | None" = None,
    ) -> None:
        self.embed = embed
        self._known = known or {}
        self._lock = Lock()
        self._vectors = base is None
        self._readings: dict[tuple[int, bool], Store] = {}
        self._further: dict[int, tuple[tuple[Entry, Said, Said], Entry]] = {}
        self._cut: dict[int, tuple[Agent, int, tuple[str, ...]]] = {}
        self._texts: WeakValueDictionary[str, HeldText] = (
            WeakValueDictionary() if base is None else base._texts
        )
        self._entries: WeakValueDictionary[Content, Entry] = WeakValueDictionary()
        self.cut_words, self.grams = StemmedWords(), CharacterGrams()
        self.words, self.token_numbers = Terms(), Terms()
        self.snapshot = Snapshot.empty()
        self._mentions, self._named = AgentMentions(()), NamedAgents(())
        self._names: set[str] = set()

    def __len__(self) -> int:
        """Return how many entries were added; those that nobody holds any more are counted."""
        return self.snapshot.words.documents

    def entries(self, contents: Sequence[Content]) -> tuple[tuple[Entry, ...], Snapshot]:
        """Return the entries of contents, new ones added, and a snapshot that holds them."""
        with self._lock:
            found = [self._entries.get(content) for content in contents]
            missing = [c for c, entry in zip(contents, found, strict=True) if entry is None]
            made: dict[Content, Entry] = {}
            if missing:
                new = list(dict.fromkeys(missing))
                made = dict(zip(new, self._added(new), strict=True))
                self._entries.update(made)
            return tuple(
                made[content] if entry is None else entry
                for content, entry in zip(contents, found, strict=True)
            ), self.snapshot

    def restore(self, entries: Sequence[Entry], snapshot: Snapshot) -> None:
        """Take over all that another store held, into this one, which is empty."""
        with self._lock:
            self._entries.update({entry.content: entry for entry in entries})
            for entry in entries:
                self._texts.update(zip(entry.content.texts, entry.held, strict=True))
            self.snapshot = snapshot

    def reading(self, reading: tuple[int, bool]) -> "Store":
        """Return the store of the same agents that reads so many of their passages."""
        with self._lock:
            if reading not in self._readings:
                self._readings[reading] = Store(self.embed, self._known, self)
            return self._readings[reading]

    def further(
        self, entries: Sequence[Entry], agents: Sequence[Agent], passages: Passages
    ) -> tuple[tuple[Entry, ...], Snapshot]:
        """Return entries of the same agents with their passages, and a snapshot that holds them.

        Args:
            entries: of the agents in the store without passages.
            agents: whose they are.
            passages: of the agents.
        """
        with self._lock:
            rows = [
                (entry, texts, encoded)
                for entry, texts, encoded in zip(
                    entries, passages.texts, passages.encoded, strict=True
                )
            ]
            known = [self._further.get(id(row[0])) for row in rows]
            new = [
                place
                for place, (row, held) in enumerate(zip(rows, known, strict=True))
                if held is None or held[0] != row
            ]
            contents = [Content.of(agents[place], *rows[place][1:]) for place in new]
            made, snapshot = self.entries(contents)
            if len(self._further) > _UNUSED + 2 * len(rows):
                self._further.clear()
            for place, entry in zip(new, made, strict=True):
                known[place] = self._further[id(entries[place])] = rows[place], entry
            return tuple(held[1] for held in known if held is not None), snapshot

    def learn_names(self, names: Iterable[str]) -> None:
        """Make names known to what finds them in texts."""
        with self._lock:
            for name in set(names) - self._names:
                self._mentions.add(name)
                self._named.add(name)
                self._names.add(name)

    def finders(self, names: Sequence[str]) -> tuple[AgentMentions, NamedAgents]:
        """Return what finds these names in texts, and no others that were learned.

        Args:
            names: ascending.
        """
        known = SortedNames(names)
        return self._mentions.among(known), self._named.among(known)

    def passages(self, agent: Agent, most: int) -> tuple[str, ...]:
        """Return ``passages_of``, which is looked up where the same agent was cut before."""
        known = self._cut.get(id(agent))
        if known is not None and known[0] is agent and known[1] == most:
            return known[2]
        passages = passages_of(agent, most)
        if len(self._cut) > _UNUSED + 2 * len(self):
            self._cut.clear()
        self._cut[id(agent)] = agent, most, passages
        return passages

    def held(self, text: str) -> HeldText | None:
        """Return a text that was encoded, None where nobody holds it any more."""
        return self._texts.get(text)

    def _added(self, contents: Sequence[Content]) -> list[Entry]:
        """Add contents behind those that are there."""
        held = self._encoded([text for content in contents for text in content.texts])
        number, sample = self.snapshot.tokens.documents, self.snapshot.samples.number
        entries = []
        for content in contents:
            texts = tuple(held[text] for text in content.texts)
            entries.append(Entry(number, sample, content, texts, self._tokens(texts)))
            number, sample = number + 1, sample + len(content.samples)
        self._texts.update(held)
        self.snapshot = self._with(entries)
        return entries

    def _with(self, entries: Sequence[Entry]) -> Snapshot:
        """Return what is there with entries behind it."""
        before = self.snapshot
        descriptions, samples = before.descriptions, before.samples
        if self._vectors:
            descriptions = descriptions.added(stacked([entry.held[0].vector for entry in entries]))
            samples = samples.added(
                stacked([one.vector for e in entries for one in e.held[1 : 1 + e.samples]])
            )
            _share_vectors(entries, descriptions, samples)
        words = _counted(self.words.numbered(self.cut_words(e.content.document)) for e in entries)
        grams = _counted(self.grams.added(e.content.document) for e in entries)
        tokens = _counted(entry.tokens.numbers.tolist() for entry in entries)
        return Snapshot(
            descriptions,
            samples,
            before.words.added(*words),
            before.grams.added(*grams),
            before.tokens.added(*tokens),
        )

    def _tokens(self, texts: Sequence[HeldText]) -> Tokens:
        numbers = [self.token_numbers.numbered(text.token_ids.tolist()) for text in texts]
        shown = [text for text in texts if len(text.token_ids)]
        if self._vectors and shown:  # side by side, where they are gathered sooner
            ends = np.cumsum([len(text.token_ids) for text in shown])[:-1]
            piece = np.concatenate([text.tokens for text in shown])
            for text, tokens in zip(shown, np.split(piece, ends), strict=True):
                text.tokens = tokens
        return Tokens(
            vectors=tuple(text.tokens for text in texts),
            numbers=np.array([n for own in numbers for n in own], dtype=np.int32),
            starts=(*accumulate(map(len, numbers), initial=0),),
        )

    def _encoded(self, texts: Sequence[str]) -> dict[str, HeldText]:
        """Return texts as they are held; only those that are not known are encoded."""
        held: dict[str, HeldText] = {}
        for text in dict.fromkeys(texts):
            one = self._texts.get(text)
            if one is not None:
                held[text] = one
        new = [text for text in dict.fromkeys(texts) if text not in held]
        known = [text for text in new if text in self._known]
        held |= {text: _held(self._known[text]) for text in known}
        unknown = [text for text in new if text not in held]
        for start in range(0, len(unknown), _AT_ONCE):  # each is held twice for a moment
            some = unknown[start : start + _AT_ONCE]
            encodings = encode_documents(self.embed, some)
            held |= {text: _held(one) for text, one in zip(some, encodings, strict=True)}
        return held

    def compacted(self, entries: Sequence[Entry]) -> "tuple[Store, list[Entry]]":
        """Return a store of these entries alone, and the entries in it; nothing is encoded."""
        fresh = Store(self.embed, self._known)
        fresh._texts, fresh.cut_words, fresh.grams = self._texts, self.cut_words, self.grams
        fresh.words, fresh.token_numbers = self.words, self.token_numbers
        with self._lock:
            now = self.snapshot
        numbers = np.array([entry.number for entry in entries], dtype=np.int64)
        own = [np.arange(e.first_sample, e.first_sample + e.samples) for e in entries]
        samples = np.concatenate(own)
        fresh.snapshot = Snapshot(
            Rows().added(now.descriptions.taken(numbers)),
            Rows().added(now.samples.taken(samples)) if len(samples) else Rows(),
            now.words.only(numbers),
            now.grams.only(numbers),
            now.tokens.only(numbers),
        )
        moved, sample = [], 0
        for number, entry in enumerate(entries):
            moved.append(Entry(number, sample, entry.content, entry.held, entry.tokens))
            sample += entry.samples
        _share_vectors(moved, fresh.snapshot.descriptions, fresh.snapshot.samples)
        fresh._entries.update({entry.content: entry for entry in moved})
        return fresh, moved


def _held(one: Encoded) -> HeldText:
    vector = np.array(one.vector, dtype=np.float32)  # not a part of something larger
    return HeldText(vector, one.token_ids, unsigned(one.token_vectors))


def _share_vectors(entries: Sequence[Entry], descriptions: Rows, samples: Rows) -> None:
    """Let texts hold the vectors that the rows hold, not copies."""
    for entry in entries:
        entry.held[0].vector = descriptions.row(entry.number)
        for place in range(entry.samples):
            entry.held[1 + place].vector = samples.row(entry.first_sample + place)


def _counted(read: Iterable[Sequence[int]]) -> tuple[list[Counted], list[int]]:
    """Return terms and counts of each document, and how many terms it has."""
    documents, lengths = [], []
    for numbers in read:
        documents.append(counted(numbers))
        lengths.append(len(numbers))
    return documents, lengths
