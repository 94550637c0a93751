"""Retrieve: a task to candidates, by weighted channels and a posterior over agents."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import dspy
import numpy as np

from .agents import Agent, Registry
from .delegation import Candidate
from .embed import Embedder, Encoded
from .index import Channels, Index
from .knobs import KnobValues, LearnedSamples

CHANNELS = ("bm25", "chars", "description", "sample_best", "sample_mean", "head", "late")
LATE_AGENTS = 32  # agents whose tokens are compared with the task's, some 2 ms


@dataclass(frozen=True, slots=True)
class Signals:
    """How well anything fits at all: the largest raw score of three channels.

    Attributes:
        description, sample: cosine of the closest description and sample.
        head: largest logit of the head; 0 where there is none.
    """

    description: float
    sample: float
    head: float


class Library:
    """Keep one index in step with a registry; shared by all copies of a program."""

    def __init__(self, registry: Registry, embed: Embedder) -> None:
        self.registry = registry
        self.embed = embed
        self._lock = Lock()
        self._index: Index | None = None
        self._built_from: tuple[int, frozenset[tuple[str, tuple[str, ...]]]] | None = None
        self._encodings: dict[str, Encoded] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Library":
        """Return itself: an optimiser's copies of the program read the same index."""
        return self

    def index(self, learned: Mapping[str, tuple[str, ...]]) -> Index:
        """Return the index of the registry as it is now; only new texts are embedded.

        Args:
            learned: further samples by agent name.
        """
        source = (self.registry.version, frozenset(learned.items()))
        with self._lock:
            if self._index is None or self._built_from != source:
                agents = [with_samples(agent, learned) for agent in self.registry]
                self._index = Index(agents, self.embed, self._encodings)
                self._encodings = self._index.encodings
                self._built_from = source
            return self._index


class Retrieve(dspy.Module):
    """Rank the permitted agents for a task.

    Each channel is standardised over the permitted agents, so that its weight means
    the same for every task; agents without samples take their standing among the
    descriptions instead (missing is not zero). Ties break by name.
    """

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.library = library
        self.learned = LearnedSamples()

    def forward(
        self, task: str, knobs: KnobValues, permitted: Collection[str] | None = None
    ) -> dspy.Prediction:
        """Return candidates and signals.

        Args:
            task: the task in plain words.
            knobs: weights, BM25 parameters, temperature and k.
            permitted: names that may be ranked; all where None.

        Returns:
            A prediction with ``candidates`` (best first, at least three where there are
            three), their ``agents`` as they were ranked, ``signals`` (``Signals``) and
            ``standing`` (per candidate and channel, in standard deviations above the
            permitted agents' mean).
        """
        if len(self.library.registry) == 0:
            return _nothing()
        index = self.library.index(self.learned.values)
        rows = np.arange(len(index.names))
        if permitted is not None:
            rows = np.array([i for i in rows if index.names[i] in permitted], dtype=int)
        if len(rows) == 0:
            return _nothing()
        asked = index.encode(task)
        channels = index.channels(task, asked.vector, knobs.bm25_k1, knobs.bm25_b, knobs.head_c)
        standing = standardise(channels, rows)
        standing["late"] = late_standing(index, asked, rows, standing)
        posterior = softmax(fuse(standing, knobs) / knobs.temperature)
        best = np.argsort(-posterior, kind="stable")[: max(knobs.k, 3)]
        names = [index.names[rows[i]] for i in best]
        return dspy.Prediction(
            candidates=tuple(
                Candidate(name, float(posterior[i])) for name, i in zip(names, best, strict=True)
            ),
            agents=tuple(index.agents[rows[i]] for i in best),
            signals=signals(channels, rows),
            standing={
                name: {c: round(float(standing[c][i]), 3) for c in CHANNELS}
                for name, i in zip(names, best, strict=True)
            },
        )


def with_samples(agent: Agent, learned: Mapping[str, tuple[str, ...]]) -> Agent:
    """Return the agent with further samples, each text once."""
    further = learned.get(agent.name, ())
    if not further:
        return agent
    samples = tuple(dict.fromkeys((*agent.user_request_samples, *further)))
    return agent.model_copy(update={"user_request_samples": samples})


def standardise(channels: Channels, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the channels in standard deviations over the given agents, shape (rows,) each."""
    description = _z(channels.description[rows])
    scores = {
        "bm25": _z(channels.bm25[rows]),
        "chars": _z(channels.chars[rows]),
        "description": description,
    }
    for name in ("sample_best", "sample_mean", "head"):
        raw = getattr(channels, name)[rows]
        known = ~np.isnan(raw)
        scores[name] = description.copy()
        if known.sum() > 1:
            scores[name][known] = _z(raw[known])
    return scores


def late_standing(
    index: Index, asked: Encoded, rows: np.ndarray, standing: dict[str, np.ndarray]
) -> np.ndarray:
    """Return the standing of the late interaction, shape (rows,).

    Only the agents that stand best by characters, description and samples are compared
    token by token; the others share the least standing of those. Where the embedder
    shows no tokens, the description stands in.
    """
    rough = standing["chars"] + standing["description"] + standing["sample_best"]
    near = np.argsort(-rough, kind="stable")[:LATE_AGENTS]
    scores = index.late(asked, rows[near])
    if np.isnan(scores).any():
        return standing["description"]
    late = np.empty(len(rows))
    late[near] = _z(scores)
    others = np.setdiff1d(np.arange(len(rows)), near)
    late[others] = late[near].min()
    return late


def fuse(standing: dict[str, np.ndarray], knobs: KnobValues) -> np.ndarray:
    """Return the weighted sum of the channels, shape (rows,)."""
    return sum((getattr(knobs, c) * standing[c] for c in CHANNELS), np.zeros(1))


def signals(channels: Channels, rows: np.ndarray) -> Signals:
    """Return the largest raw scores, falling back to descriptions where there are no samples."""
    description = float(channels.description[rows].max())
    sample = channels.sample_best[rows]
    head = channels.head[rows]
    return Signals(
        description=description,
        sample=description if np.isnan(sample).all() else float(np.nanmax(sample)),
        head=0.0 if np.isnan(head).all() else float(np.nanmax(head)),
    )


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities, shape as given."""
    shifted = np.exp(scores - scores.max())
    return shifted / shifted.sum()


def _nothing() -> dspy.Prediction:
    return dspy.Prediction(candidates=(), agents=(), signals=Signals(0.0, 0.0, 0.0), standing={})


def _z(scores: np.ndarray) -> np.ndarray:
    spread = scores.std()
    return (scores - scores.mean()) / spread if spread > 1e-12 else np.zeros(len(scores))
