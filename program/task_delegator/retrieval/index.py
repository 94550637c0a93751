"""Index of a registry: raw scores of every channel (BM25, n-grams, embeddings, head).

The index is built in name order, so that the order in which agents were
registered cannot matter, and it holds no state of the compiled program.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import bm25s
import numpy as np

from ..embedders import Embedder, Encoded, VectorCache, encode_documents
from ..registry import Agent, description_text, readable, texts_of
from ..text import AgentMentions, NamedAgents
from .build_once import BuildOnce
from .late_interaction import LateInteraction, offsets
from .lexical import CharacterGrams, StemmedWords, postings_sum
from .linear_head import Head, fit_head
from .passages import Passages, read_passages

# It reports every index at DEBUG to any handler, whose lock a forked child may find held.
logging.getLogger("bm25s").setLevel(logging.WARNING)
_HEADS = VectorCache("heads.sqlite", limit=2**28)  # 0.2 MB each with seventy agents
_READINGS = 2  # of passages that an index holds beside none
_SETTINGS = 4  # of BM25 and of the head that an index holds: a service has one, a search many


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
    """

    text: str
    encoded: Encoded = field(repr=False, compare=False)
    task: str = ""
    shown: str = ""
    mentions: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    language: str | None = None

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


@dataclass(frozen=True, slots=True)
class Channels:
    """Raw scores of one task against every agent, in name order.

    Attributes:
        bm25, chars, description: shape (agents,).
        sample_best, sample_mean, head: shape (agents,); NaN for agents without samples.
        read: whether passages of an agent were read, shape (agents,), bool; None of nobody.
    """

    bm25: np.ndarray
    chars: np.ndarray
    description: np.ndarray
    sample_best: np.ndarray
    sample_mean: np.ndarray
    head: np.ndarray
    read: np.ndarray | None = None


class Index:
    """Score tasks against a fixed set of agents.

    Args:
        agents: the agents, in any order; their samples are what the index learns from.
        embed: the embedder.
        known: texts that were encoded before, by text; reused.
        passages: what is read of the agents beside that, in name order.

    Attributes:
        names: of the agents, in the order of every score.
        mentions, named: the same, to be found in texts: in any spelling, and on purpose.
        encodings: every text of these agents that was read so far, as the embedder sees it.
        agents_held: how many agents are held in memory; twice as many once passages are read.
        read_passages: whether passages of an agent are read, shape (agents,); None of nobody.
        hidden: places of agents that are not to be named, int, shape (hidden,).
    """

    def __init__(
        self,
        agents: Iterable[Agent],
        embed: Embedder,
        known: Mapping[str, Encoded] | None = None,
        passages: Passages | None = None,
    ) -> None:
        self.agents = tuple(sorted(agents, key=lambda agent: agent.name))
        self.agents_held = len(self.agents)
        self.names = tuple(agent.name for agent in self.agents)
        self.mentions, self.named = AgentMentions(self.names), NamedAgents(self.names)
        self.embed = embed
        self._known = known or {}
        described = [description_text(agent) for agent in self.agents]
        samples = [s for agent in self.agents for s in agent.user_request_samples]
        read = passages or Passages(((),) * len(described), ((),) * len(described))
        further = [text for own in read.encoded for text in own]
        self.encodings = texts = _encode([*described, *samples, *further], embed, self._known)
        self._descriptions = _rows(described, texts)
        self._samples = _rows(samples, texts)
        self._tokens_of = LateInteraction(
            [
                [texts[text] for text in (*texts_of(agent), *own)]
                for agent, own in zip(self.agents, read.encoded, strict=True)
            ]
        )
        counts = np.array([len(agent.user_request_samples) for agent in self.agents], dtype=int)
        self.has_samples = counts > 0
        self._counts = counts[self.has_samples]
        self._starts = offsets(self._counts)
        self._documents = [
            " ".join((readable(a.name), a.description, a.use_when, *a.user_request_samples, *own))
            for a, own in zip(self.agents, read.texts, strict=True)
        ]
        self._words = StemmedWords()
        self._chars = CharacterGrams(self._documents)
        self._rankers = BuildOnce(self._ranker, _SETTINGS)
        self._heads = BuildOnce(self._head, _SETTINGS)
        self.read_passages = None if passages is None else np.array([*map(bool, passages.texts)])
        self._readings = BuildOnce(self._reading, _READINGS)
        self.hidden = np.zeros(0, dtype=int)

    def showing(self, names: Collection[str]) -> "Index":
        """Return this index, of which only some agents are named; scores still see all."""
        shown = copy(self)
        hidden = [place for place, name in enumerate(self.names) if name not in names]
        shown.hidden = np.array(hidden, dtype=int)
        return shown

    def prepare_like(self, other: "Index") -> None:
        """Build what another index built when it was first asked: BM25, heads, passages."""
        readings = other._readings.asked()
        pairs = [(self, other), *((self.reading(r), other.reading(r)) for r in readings)]
        for mine, theirs in pairs:
            for setting in theirs._rankers.asked():
                mine._rankers(setting)
            for c in theirs._heads.asked():
                mine._heads(c)

    def reading(self, reading: tuple[int, bool]) -> "Index":
        """Return the index of the same agents that reads so many of their passages.

        It is built when first asked for; this index itself where the agents have none to read.

        Args:
            reading: passages per agent at most, and whether of agents with samples too.
        """
        return self._readings(reading) if reading[0] else self

    def _reading(self, reading: tuple[int, bool]) -> "Index":
        passages = read_passages(self.agents, reading)
        if passages is None:
            return self
        index = Index(self.agents, self.embed, {**self._known, **self.encodings}, passages)
        self.encodings = self.encodings | index.encodings
        self.agents_held = 2 * len(self.agents)
        return index

    def read(self, task: str) -> Query:
        """Return a task as the channels see it."""
        return Query(task, self.embed.encode([task])[0])

    def channels(self, query: Query, bm25_k1: float, bm25_b: float, head_c: float) -> Channels:
        """Return the raw scores of every channel that looks at all agents."""
        vector = query.encoded.vector
        best, mean = self.samples(vector)
        return Channels(
            bm25=self.bm25(query.text, bm25_k1, bm25_b),
            chars=self.chars(query.text),
            description=self.description(vector),
            sample_best=best,
            sample_mean=mean,
            head=self.head(vector, head_c),
            read=self.read_passages,
        )

    def description(self, vector: np.ndarray) -> np.ndarray:
        """Return cosines with the agents' descriptions, shape (agents,).

        Here, in ``samples`` and in ``head``, columns of many vectors, shape (dim, tasks), give
        shape (agents, tasks).
        """
        return (self._descriptions @ vector).astype(np.float64)

    def samples(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best and the mean cosine with each agent's samples, NaN without any."""
        best = np.full((len(self.agents), *vector.shape[1:]), np.nan)
        mean = best.copy()
        if len(self._samples):
            similarity = self._samples @ vector
            best[self.has_samples] = np.maximum.reduceat(similarity, self._starts)
            sums = np.add.reduceat(similarity, self._starts)
            mean[self.has_samples] = (sums.T / self._counts).T
        return best, mean

    def nearest_samples(self, query: Query, agents: Iterable[Agent]) -> dict[str, tuple[str, ...]]:
        """Return the agents' samples by name, those closest to a task first."""
        vector = query.encoded.vector

        def distance(sample: str) -> float:
            known = self.encodings.get(sample)
            return 0.0 if known is None else -float(known.vector @ vector)

        return {
            agent.name: tuple(sorted(agent.user_request_samples, key=distance)) for agent in agents
        }

    def head(self, vector: np.ndarray, c: float) -> np.ndarray:
        """Return the head's logits, NaN for agents without samples, shape (agents,)."""
        logits = np.full((len(self.agents), *vector.shape[1:]), np.nan)
        model = self._heads(c)
        if model is not None:
            logits[self.has_samples] = model(vector)
        return logits

    def late(self, task: Encoded, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return late-interaction scores of some agents, to and fro, NaN without tokens."""
        return self._tokens_of(task, rows)

    def closeness(self, left: int, right: int) -> float:
        """Return the cosine of two agents' descriptions."""
        return float(self._descriptions[left] @ self._descriptions[right])

    def chars(self, task: str) -> np.ndarray:
        """Return cosines of character n-grams, shape (agents,)."""
        return self._chars(task)

    def bm25(self, task: str, k1: float, b: float) -> np.ndarray:
        """Return BM25 scores over names, descriptions and samples, shape (agents,)."""
        ranker = self._rankers((k1, b))
        if ranker is None:
            return np.zeros(len(self.agents))
        places = [ranker.vocab_dict[w] for w in self._words(task) if w in ranker.vocab_dict]
        return postings_sum(ranker.scores, places).astype(np.float64)

    def _ranker(self, setting: tuple[float, float]) -> Any:
        """Return BM25 over the agents; None where all are stop words, without a vocabulary."""
        words = [self._words(document) for document in self._documents]
        if not any(words):
            return None
        ranker = bm25s.BM25(k1=setting[0], b=setting[1])
        ranker.index(words, show_progress=False)
        return ranker

    def _head(self, c: float) -> Head | None:
        classes = int(self.has_samples.sum())
        if classes < 2:
            return None
        owners = np.repeat(np.arange(classes), self._counts)
        chosen = np.flatnonzero(self.has_samples)
        return fit_head(
            # By rows, as the regression reads them.
            np.ascontiguousarray(np.concatenate([self._samples, self._descriptions[chosen]])),
            np.concatenate([owners, np.arange(classes)]),
            c,
            _HEADS,
        )


def _encode(
    texts: Sequence[str], embed: Embedder, known: Mapping[str, Encoded]
) -> dict[str, Encoded]:
    new = list(dict.fromkeys(text for text in texts if text not in known))
    fresh = dict(zip(new, encode_documents(embed, new), strict=True))
    return {text: fresh[text] if text in fresh else known[text] for text in texts}


def _rows(texts: Sequence[str], known: dict[str, Encoded]) -> np.ndarray:
    """Return a text's vector per row, stored by columns: that is multiplied twice as fast."""
    if not texts:
        return np.zeros((0, 1), dtype=np.float32)
    return np.asfortranarray(np.stack([known[text].vector for text in texts]))
