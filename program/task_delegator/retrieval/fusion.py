"""Channels to one score: standardize, late interaction, fuse, and the signals of a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..delegation import Signals
from ..knobs import KnobValues
from .index import Channels, Index, Query

CHANNELS = ("bm25", "chars", "description", "sample_best", "sample_mean", "head", "late", "back")
# Agents whose tokens are compared with the task's: one in so many, at least and at most these
# (2 ms for sixteen with samples, 6 for sixty-four; what that gains: study ``late``, retired).
_LATE_ONE_IN, _LATE_LEAST, _LATE_MOST = 50, 16, 64
_REFERENCE = 100  # best scores of a channel that set its scale, however many agents there are


@dataclass(frozen=True, slots=True)
class Scored:
    """One text against all agents of an index.

    Attributes:
        channels: raw scores.
        standing: per channel, shape (agents,), in standard deviations above the mean of the
            best hundred.
        late: raw late-interaction score of the best agent; 0 without token vectors.
    """

    channels: Channels
    standing: dict[str, np.ndarray]
    late: float


def score(index: Index, query: Query, knobs: KnobValues) -> Scored:
    """Return how the agents stand in every channel."""
    channels = index.channels(query, knobs.bm25_k1, knobs.bm25_b, knobs.head_c)
    standing = standardize(channels)
    late = late_scores(index, query, standing)
    return Scored(channels, standing | late.standing, late.largest)


def standardize(channels: Channels) -> dict[str, np.ndarray]:
    """Return the channels in standard deviations over the best agents, shape (agents,) each."""
    description = _z(channels.description)
    scores = {
        "bm25": _z(channels.bm25),
        "chars": _z(channels.chars),
        "description": description,
    }
    for name in ("sample_best", "sample_mean", "head"):
        raw = getattr(channels, name)
        known = ~np.isnan(raw)
        scores[name] = description.copy()
        if known.sum() > 1:
            scores[name][known] = _z(raw[known])
    return scores


@dataclass(frozen=True, slots=True)
class Late:
    """The late interaction of one text: standing of ``late`` and ``back``, largest raw score."""

    standing: dict[str, np.ndarray]
    largest: float


def late_scores(
    index: Index,
    query: Query,
    standing: Mapping[str, np.ndarray],
    number: int | None = None,
) -> Late:
    """Compare token by token the agents that stand best by characters, description and samples.

    The others share the least standing of those. Where the embedder shows no tokens, the
    description stands in.

    Args:
        index, query: the agents and the text.
        standing: in the other channels, shape (agents,) each.
        number: how many agents to compare; None for what suits the index.
    """
    rough = standing["chars"] + standing["description"] + standing["sample_best"]
    suits = min(max(_LATE_LEAST, len(rough) // _LATE_ONE_IN), _LATE_MOST)
    near = largest(rough, suits if number is None else number)
    raw = dict(zip(("late", "back"), index.late(query.encoded, near), strict=True))
    if np.isnan(raw["late"]).any():
        return Late(dict.fromkeys(raw, standing["description"]), 0.0)
    spread = {}
    for name, scores in raw.items():
        compared = _z(scores)
        spread[name] = np.full(len(rough), compared.min())
        spread[name][near] = compared
    return Late(spread, float(raw["late"].max()))


def blend(
    own: Mapping[str, np.ndarray], others: Sequence[Mapping[str, np.ndarray]], weight: float
) -> dict[str, np.ndarray]:
    """Return the task's standing with a share (0..1) of the mean standing of its expansions."""
    return {
        channel: (1 - weight) * own[channel]
        + weight * np.mean([other[channel] for other in others], axis=0)
        for channel in CHANNELS
    }


def fuse(standing: Mapping[str, np.ndarray], knobs: KnobValues) -> np.ndarray:
    """Return the weighted sum of the channels, shape (agents,)."""
    return sum((getattr(knobs, c) * standing[c] for c in CHANNELS), np.zeros(1))


def signals(index: Index, scored: Scored, best: np.ndarray, knobs: KnobValues) -> Signals:
    """Return the signals of a task, given its best agents in order."""
    description = float(scored.channels.description.max())
    sample = scored.channels.sample_best
    head = scored.channels.head
    heard = [scored.standing[c] for c in CHANNELS if getattr(knobs, c) > 0]
    return Signals(
        description=description,
        sample=description if np.isnan(sample).all() else float(np.nanmax(sample)),
        head=_margin(head[~np.isnan(head)]),
        late=scored.late,
        agree=float(np.mean([np.argmax(own) == best[0] for own in heard])) if heard else 0.0,
        near=index.closeness(best[0], best[1]) if len(best) > 1 else 0.0,
    )


def largest(scores: np.ndarray, number: int) -> np.ndarray:
    """Return the places of the largest scores, best first, ties in order; shape (number,) at most.

    Not all of them are sorted: of ten thousand, a handful counts.
    """
    if number >= len(scores):
        return np.argsort(-scores, kind="stable")
    near = np.flatnonzero(scores >= np.partition(scores, -number)[-number])
    return near[np.argsort(-scores[near], kind="stable")][:number]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities, shape as given."""
    shifted = np.exp(scores - scores.max())
    return shifted / shifted.sum()


def _margin(scores: np.ndarray) -> float:
    """Return how far the first stands above the second, 0 where there is no second."""
    if len(scores) < 2:
        return 0.0
    second, first = np.partition(_z(scores), -2)[-2:]
    return float(first - second)


def _z(scores: np.ndarray) -> np.ndarray:
    """Standardise over the best scores.

    Over all of them, a sparse channel (words, characters) would weigh more with every agent
    that shares nothing with the task, and weights fitted on a small registry would no longer
    fit it when it grows.
    """
    best = scores
    if len(scores) > _REFERENCE:
        best = np.partition(scores, -_REFERENCE)[-_REFERENCE:]
    spread = best.std()
    return (scores - best.mean()) / spread if spread > 1e-12 else np.zeros(len(scores))
