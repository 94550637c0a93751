"""What retrieval would have found without some of the agents, from scores that are known.

The channels are columns, one an agent: those of the hidden agents are taken out, and the rest is
standardized, compared and fused again. Rarities of words and the head's weights stay those of all
agents, so that nothing is built anew. A task whose right agents are hidden is one that nobody
serves, close to what the agents do.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ..delegation import TOP, Candidate, Signals
from ..knobs import KnobValues
from .channels import OF_ALL_AGENTS, Channels
from .fusion import (
    Scored,
    as_candidates,
    late_scores,
    log_posterior,
    signals,
    softmax,
)
from .index import Index, Query
from .largest_scores import largest
from .passages import reading_of
from .rerank import Rerank, Reranked
from .standardize import standardize


class _Kept:
    """The part of an index that is not hidden; its rows are those of the kept agents."""

    def __init__(self, index: Index, kept: np.ndarray) -> None:
        self._index, self._kept = index, kept

    def late(
        self, query: Query, rows: np.ndarray, samples: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return late-interaction scores of some of the kept agents."""
        return self._index.late(query, self._kept[rows], samples)

    def closeness(self, left: int, right: int) -> float:
        """Return the cosine of the descriptions of two of them."""
        return self._index.closeness(int(self._kept[left]), int(self._kept[right]))


def without(
    index: Index,
    query: Query,
    scored: Scored,
    hidden: Collection[str],
    knobs: KnobValues,
    rerank: Rerank | None = None,
) -> tuple[tuple[Candidate, ...], Signals]:
    """Return the three best candidates and the signals that are left without the hidden agents.

    Args:
        index: of all agents.
        query: the task.
        scored: its scores against that index, with the same knobs.
        hidden: names of the agents to leave out; no candidates where that is all of them.
        knobs: weights and temperature.
        rerank: what the program reranks with, which reads the best of those that are left; None
            for the places before that.
    """
    kept = np.array([i for i, name in enumerate(index.names) if name not in hidden], dtype=int)
    if len(kept) == 0:
        return (), Signals()
    channels = _columns(scored.channels, kept)
    rest = _Kept(index.reading(reading_of(knobs)), kept)
    z_scores = standardize(channels)
    late = late_scores(rest, query, z_scores, samples=channels.samples)
    left = Scored(channels, z_scores | late.z_scores, late.largest)
    logits = np.full(len(index.names), -np.inf)
    logits[kept] = log_posterior(left.z_scores, knobs)
    reranked = Reranked(logits, {}) if rerank is None else rerank(index, query, knobs, logits)
    posterior = softmax(reranked.logits[kept])
    best = largest(posterior, TOP)
    candidates = as_candidates((index.names[place] for place in kept[best]), posterior[best])
    return candidates, reranked.seen_in(signals(rest, left, best, knobs))


def _columns(channels: Channels, kept: np.ndarray) -> Channels:
    columns = {name: getattr(channels, name)[kept] for name in OF_ALL_AGENTS}
    return replace(channels, **columns, texts=channels.texts.of(kept))
