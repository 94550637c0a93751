"""Index of a registry: raw scores of every channel (BM25, n-grams, embeddings, head).

The index is built in name order, so that the order in which agents were
registered cannot matter, and it holds no state of the compiled program.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from ..embedders import Embedder, Encoded
from ..registry import Agent
from .build_once import BuildOnce
from .channels import AgentTexts, Channels
from .heads import ClassRows, Heads
from .late_interaction import LateInteraction
from .lexical import GramCosines, WordScores
from .members import Members
from .passages import read_passages
from .postings import ChosenDocuments
from .rows import ChosenRows, offsets
from .token_products import Compared

_READINGS = 2  # of passages that an index holds beside none
# Samples of an agent that are compared token by token. All fifteen found five more of 420 of ours,
# none on four public sets, in twice the time; two found fewer.
_SAMPLES_COMPARED = 3


@dataclass(frozen=True, slots=True)
class Lexical:
    """The words of a text against every agent, in name order: what needs no encoding.

    Attributes:
        bm25, chars: raw scores, shape (agents,).
        parameters: of BM25: k1 and b.
        index: that scored them.
    """

    bm25: np.ndarray
    chars: np.ndarray
    parameters: tuple[float, float]
    index: "Index"


@dataclass(frozen=True, slots=True)
class Query:
    """A task as it is read: once per delegation, for every stage.

    Attributes:
        text: what is retrieved: the task without the names of agents and what is not wanted.
        encoded: the text as the embedder sees it.
        task: as it was given; empty for a text that is no task, such as an expansion.
        shown: what an LM is shown: the task without the names of agents.
        mentions: agents that the task names, in any spelling.
        named: those that it names exactly and on purpose.
        language: code of the task's language where the embedder does not support it, else None.
        lexical: its words' scores, where they are known already.
    """

    text: str
    encoded: Encoded = field(repr=False, compare=False)
    task: str = ""
    shown: str = ""
    mentions: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    language: str | None = None
    lexical: Lexical | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what it says as plain JSON values, without the encoding."""
        return {
            "task": self.task,
            "text": self.text,
            "shown": self.shown,
            "mentions": list(self.mentions),
            "named": list(self.named),
            "language": self.language,
        }


class Index:
    """Score tasks against a fixed set of agents.

    What agents say stands in a store that indexes may share; what depends on which agents there
    are (rarities, lengths, heads) is this index's own.

    Args:
        agents: the agents, in any order; their samples are what the index learns from.
        embed: the embedder.
        known: texts that were encoded before, by text; reused.

    Attributes:
        agents, names: in the order of every score.
        mentions, named: the same, to be found in texts: in any spelling, and on purpose.
        has_samples, has_description: whether an agent has any, shape (agents,), bool.
        texts: what the agents say.
        hidden: places of agents that are not to be named, int, shape (hidden,).
    """

    def __init__(
        self, agents: Iterable[Agent], embed: Embedder, known: Mapping[str, Encoded] | None = None
    ) -> None:
        self._see(Members.of(agents, embed, known))
        self._read_vectors()

    @classmethod
    def over(cls, members: Members) -> "Index":
        """Return the index of agents whose contents are in a store."""
        index = cls.__new__(cls)
        index._see(members)
        index._read_vectors()
        return index

    def _see(self, members: Members) -> None:
        self._members = members
        self.agents, self.names = members.agents, members.names
        self.mentions, self.named = members.mentions, members.named
        self.embed = members.store.embed
        snapshot, numbers = members.snapshot, members.numbers
        words, grams, tokens = (
            ChosenDocuments(corpus, numbers)
            for corpus in (snapshot.words, snapshot.grams, snapshot.tokens)
        )
        store = members.store
        self._bm25 = WordScores(store.cut_words, store.words, words)
        self._chars = GramCosines(store.grams, grams)
        self._late = LateInteraction(tokens.holders(len(store.token_numbers)), len(numbers))
        described = [bool(agent.description.strip()) for agent in self.agents]
        self.has_description = np.array(described, dtype=bool)
        self.texts = AgentTexts(None, self.has_description, members.trust(self.has_description))
        self.hidden = np.zeros(0, dtype=int)

    def _read_vectors(self) -> None:
        members = self._members
        self.has_samples = members.counts > 0
        self._counts = members.counts[self.has_samples]
        self._first_samples = offsets(members.counts)
        self._starts = self._first_samples[self.has_samples]
        samples = np.repeat(members.first_samples[self.has_samples] - self._starts, self._counts)
        samples += np.arange(len(samples))
        self._descriptions = ChosenRows(members.snapshot.descriptions, members.numbers)
        self._samples = ChosenRows(members.snapshot.samples, samples)
        learned = np.flatnonzero(self.has_samples)
        self._heads = Heads(
            [self.names[place] for place in learned],
            ClassRows(self._samples, self._descriptions, self._counts, learned),
        )
        # What further readings are made of is no reference to this index: it would hold itself,
        # and its arrays, beyond its use.
        self._readings = BuildOnce(partial(_with_passages, copy(self)), _READINGS)

    @property
    def nbytes(self) -> int:
        """Return how much of memory it takes beside the store that is shared."""
        vectors = self._descriptions.nbytes + self._samples.nbytes + self._heads.nbytes
        return vectors + sum(index._own_bytes for index in (self, *self._further()))

    @property
    def samples_held(self) -> int:
        """Return how many samples the agents have."""
        return len(self._samples)

    @property
    def _own_bytes(self) -> int:
        lexical = (self._bm25, self._chars, self._late)
        return sum(part.nbytes for part in lexical) + self._members.nbytes

    @property
    def encodings(self) -> dict[str, Encoded]:
        """Return every text of these agents that was read so far, as the embedder sees it."""
        return {
            text: held.encoded()
            for index in (self, *self._further())
            for entry in index._members.entries
            for text, held in zip(entry.content.texts, entry.held, strict=True)
        }

    def _further(self) -> "list[Index]":
        """Return the indexes that read passages and are there."""
        return [index for index in self._readings.held().values() if index is not None]

    def showing(self, names: Collection[str]) -> "Index":
        """Return this index, of which only some agents are named; scores still see all."""
        shown = copy(self)
        hidden = [place for place, name in enumerate(self.names) if name not in names]
        shown.hidden = np.array(hidden, dtype=int)
        return shown

    def follow(self, older: "Index") -> None:
        """Let what an older index fitted serve until this one's is; read what it read."""
        if older is self:
            return
        self._heads.follow(older._heads)
        for reading in older._readings.held():
            self.reading(reading)

    def wait(self) -> None:
        """Wait until nothing is being fitted in the background: for studies and tests alone."""
        self._heads.wait()

    def reading(self, reading: tuple[int, bool]) -> "Index":
        """Return the index of the same agents that reads so many of their passages.

        It is built when first asked for; this index itself where the agents have none to read.

        Args:
            reading: passages per agent at most, and whether of agents with samples too.
        """
        return (self._readings(reading) if reading[0] else None) or self

    def read(self, task: str) -> Query:
        """Return a task as the channels see it."""
        return Query(task, self.embed.encode([task])[0])

    def channels(self, query: Query, bm25_k1: float, bm25_b: float, head_c: float) -> Channels:
        """Return the raw scores of every channel that looks at all agents."""
        vector = query.encoded.vector
        samples, best, mean = self.samples(vector)
        words, parameters = query.lexical, (bm25_k1, bm25_b)
        if words is None or words.index is not self or words.parameters != parameters:
            words = self.lexical(query.text, *parameters)
        return Channels(
            bm25=words.bm25,
            chars=words.chars,
            description=self.description(vector),
            sample_best=best,
            sample_mean=mean,
            head=self.head(vector, head_c),
            texts=self.texts,
            samples=samples,
        )

    def lexical(self, text: str, bm25_k1: float, bm25_b: float) -> Lexical:
        """Return the raw scores of a text's words."""
        scores = self.bm25(text, bm25_k1, bm25_b), self.chars(text)
        return Lexical(*scores, (bm25_k1, bm25_b), self)

    def description(self, vector: np.ndarray) -> np.ndarray:
        """Return cosines with the agents' descriptions, shape (agents,).

        Here, in ``samples`` and in ``head``, columns of many vectors, shape (dim, tasks), give
        shape (agents, tasks).
        """
        return self._descriptions.product(vector).astype(np.float64)

    def samples(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cosine with each sample, and each agent's best and mean, NaN without any.

        Returns:
            Shape (samples,), agent by agent, and twice (agents,).
        """
        if not len(self._samples):
            unknown = self._of_all(None, vector)
            return np.zeros((0, *vector.shape[1:]), np.float32), unknown, unknown.copy()
        similarity = self._samples.product(vector)
        best = np.maximum.reduceat(similarity, self._starts)
        mean = (np.add.reduceat(similarity, self._starts).T / self._counts).T
        return similarity, self._of_all(best, vector), self._of_all(mean, vector)

    def nearest_samples(self, query: Query, agents: Iterable[Agent]) -> dict[str, tuple[str, ...]]:
        """Return the agents' samples by name, those closest to a task first."""
        vector, store = query.encoded.vector, self._members.store

        def distance(sample: str) -> float:
            known = store.held(sample)
            return 0.0 if known is None else -float(known.vector @ vector)

        return {
            agent.name: tuple(sorted(agent.user_request_samples, key=distance)) for agent in agents
        }

    def head(self, vector: np.ndarray, c: float) -> np.ndarray:
        """Return the head's logits, NaN for agents without samples, shape (agents,).

        While the head of a changed registry is fitted, NaN too for agents that are new.
        """
        return self._of_all(self._heads(vector, c), vector)

    def _of_all(self, found: np.ndarray | None, vector: np.ndarray) -> np.ndarray:
        """Return what was found for the agents with samples, float64, NaN for the others."""
        if found is not None and len(found) == len(self.agents):
            return np.asarray(found, dtype=np.float64)
        every = np.full((len(self.agents), *vector.shape[1:]), np.nan)
        if found is not None:
            every[self.has_samples] = found
        return every

    def late(
        self, query: Query, rows: np.ndarray, samples: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ``maxsim`` and ``maxsim_reverse`` of some agents, NaN without tokens.

        Of an agent's samples those nearest to the task are compared.

        Args:
            query: the task.
            rows: places of the agents.
            samples: as in ``Channels``; None to calculate them.
        """
        encoded, members = query.encoded, self._members
        if samples is None:
            samples, *_ = self.samples(encoded.vector)
        numbers = members.store.token_numbers.found(encoded.token_ids.tolist())
        entries = [members.entries[row] for row in rows.tolist()]
        near = Compared.of(
            (entry.tokens, (0, *own, *range(entry.samples + 1, len(entry.held))))
            for entry, own in zip(entries, self._nearest(rows, samples), strict=True)
        )
        return self._late(
            encoded.token_vectors,
            numbers,
            near,
            sampled=self.has_samples[rows],
            described=self.has_description[rows],
        )

    def _nearest(self, rows: np.ndarray, samples: np.ndarray) -> list[list[int]]:
        """Return the places of samples among the texts of each agent: those nearest to a task."""
        counts = self._members.counts[rows]
        most = int(counts.max(initial=0))
        if most == 0:
            return [[]] * len(rows)
        each = np.arange(most)
        own = self._first_samples[rows][:, None] + each
        cosines = samples.take(own, mode="clip")
        cosines[each >= counts[:, None]] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :_SAMPLES_COMPARED] + 1
        return [row[:n] for row, n in zip(order.tolist(), counts.tolist(), strict=True)]

    def closeness(self, left: int, right: int) -> float:
        """Return the cosine of two agents' descriptions."""
        return float(self._descriptions.row(left) @ self._descriptions.row(right))

    def chars(self, task: str) -> np.ndarray:
        """Return cosines of character n-grams, shape (agents,)."""
        return self._chars(task)

    def words_of_many(
        self, tasks: Sequence[str], k1: float, b: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return BM25 scores and cosines of n-grams of many tasks, shape (tasks, agents) each."""
        return self._bm25.many(tasks, k1, b), self._chars.many(tasks)

    def bm25(self, task: str, k1: float, b: float) -> np.ndarray:
        """Return BM25 scores over names, descriptions and samples, shape (agents,)."""
        return self._bm25(task, k1, b)


def _with_passages(index: Index, reading: tuple[int, bool]) -> Index | None:
    """Return an index that reads passages too, None where its agents have none to read."""
    members = index._members
    if not members.has_passages.any():
        return None
    passages = read_passages(members.agents, reading, members.store.passages)
    if passages is None:
        return None
    further = copy(index)
    further._see(members.reading(reading, passages))
    further.texts = replace(index.texts, passages=np.array([*map(bool, passages.texts)]))
    further._readings = BuildOnce(_with_nothing, 1)
    return further


def _with_nothing(reading: tuple[int, bool]) -> Index | None:
    """Return what an index that reads passages has to read beside them: none."""
    return None
