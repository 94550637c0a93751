"""Retrieve: the DSPy module that ranks agents for a task, with a posterior."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np

from ..delegation import Candidate, Signals
from ..knobs import KnobValues, LearnedSamples
from ..prediction import FrozenPrediction, plain_json
from ..registry import Agent
from ..text import foreign_language
from .fusion import CHANNELS, Scored, blend, fuse, largest, score, signals, softmax
from .index import Index, Query
from .index_cache import IndexCache
from .named import favor_named
from .reading import read_task


class Retrieval(FrozenPrediction):
    """What retrieval found for a task.

    Attributes:
        candidates: best first, at least three where there are three; none where the caller
            may use no agent.
        agents: the same, as they were ranked.
        signals: what it saw beside the posterior.
        z_scores: per candidate and channel, in standard deviations above the mean of the
            best hundred.
        query: the task as it was read; None where the caller may use no agent.
        index: what it was read against: the caller's agents at that moment.
        scored: the task's own scores, without expansions.
        by_name: whether the first is first for nothing but its name in the task.
    """

    candidates: tuple[Candidate, ...] = ()
    agents: tuple[Agent, ...] = ()
    signals: Signals = Signals()
    z_scores: Mapping[str, Mapping[str, float]]
    query: Query | None = None
    index: Index | None = None
    scored: Scored | None = None
    by_name: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as plain JSON values, without what it was computed from."""
        return {
            "query": plain_json(self.query),
            "candidates": plain_json(self.candidates),
            "signals": plain_json(self.signals),
            "z_scores": plain_json(self.z_scores),
        }


class Retrieve(dspy.Module):
    """Rank the permitted agents for a task.

    Each channel is standardized over its best scores, so that its weight means the same for
    every task and every size of the registry; agents without samples take their z_scores among
    the descriptions instead (missing is not zero). Ties break by name.
    """

    def __init__(self, library: IndexCache) -> None:
        super().__init__()
        self.library = library
        self.learned = LearnedSamples()

    def forward(
        self,
        task: str,
        knobs: KnobValues,
        permissions: Collection[str] | None = None,
        further: Sequence[str] = (),
        found: Retrieval | None = None,
    ) -> Retrieval:
        """Return candidates and signals.

        Args:
            task: the task in plain words.
            knobs: weights, BM25 parameters, temperature and k.
            permissions: the caller's; None for a caller without limits.
            further: other texts that say the same (``ExpandQuery``); their mean z-scores
                have the weight ``knobs.expansion.weight``.
            found: what was retrieved for the task without them, with the same knobs; the task
                is not read and scored again, and the agents are those of that moment.
        """
        if found is None:
            index = self.library.permitted(self.learned.values, permissions)
            if index is None:
                return Retrieval(z_scores={})
            query = self.read(task, index)
            scored = score(index, query, knobs)
        else:
            index, query, scored = found.index, found.query, found.scored
            if index is None or query is None or scored is None:
                return found
        z_scores = scored.z_scores
        if further:
            others = [score(index, index.read(text), knobs).z_scores for text in further]
            z_scores = blend(z_scores, others, knobs.expansion.weight)
        logits = fuse(z_scores, knobs) / knobs.retrieval.temperature
        logits, wanted, by_name = favor_named(index, query, knobs, logits)
        posterior = softmax(logits)
        best = largest(posterior, _places(knobs))
        names = [index.names[i] for i in best]
        rows = np.stack([z_scores[channel][best] for channel in CHANNELS], axis=1).tolist()
        return Retrieval(
            candidates=tuple(map(Candidate, names, posterior[best].tolist())),
            agents=tuple(index.agents[i] for i in best),
            signals=signals(index, scored, best, knobs),
            z_scores={
                name: {c: round(z, 3) for c, z in zip(CHANNELS, row, strict=True)}
                for name, row in zip(names, rows, strict=True)
            },
            query=replace(query, shown=query.task) if wanted else query,
            index=index,
            scored=scored,
            by_name=by_name,
        )

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Retrieval:
            """Return what ``forward`` does."""
            ...

    def read(self, task: str, index: Index) -> Query:
        """Return a task as it is read against the agents of an index."""
        return read_task(index, task, self.language_of(task))

    def language_of(self, task: str) -> str | None:
        """Return the task's language where the embedder does not support it, else None."""
        return foreign_language(task, self.library.embed.languages)


def _places(knobs: KnobValues) -> int:
    """Return how many candidates to name: the shortlist's, and the LM's where it may be asked."""
    may_ask = knobs.lm.gate is not None or knobs.lm.ask_settled
    return max(knobs.retrieval.k, 3, knobs.lm.shortlist if may_ask else 0)
