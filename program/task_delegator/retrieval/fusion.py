"""Fuse the channels to one score: standardize, late interaction, weights, signals."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..delegation import Candidate, Signals
from ..knobs import KnobValues
from ..system import no_fork
from .channels import CHANNELS, OF_ALL_AGENTS, Channels
from .index import Index, Lexical, Query
from .largest_scores import largest
from .passages import reading_of
from .standardize import standardize, standardized, z_of

# Agents whose tokens are compared with the task's: one in so many, at least and at most these
# (sixty-four took three times as long as sixteen).
_COMPARED_ONE_IN, _COMPARED_LEAST, _COMPARED_MOST = 50, 16, 64
_NUMBERS = 2**18  # of a channel, of many texts, that are fused at once: 2 MB


@dataclass(frozen=True, slots=True)
class Scored:
    """One text against all agents of an index.

    Attributes:
        channels: raw scores.
        z_scores: per channel, shape (agents,), in standard deviations above the mean of the
            best hundred.
        maxsim: raw late-interaction score of the best agent; 0 without token vectors.
    """

    channels: Channels
    z_scores: dict[str, np.ndarray]
    maxsim: float


def score(index: Index, query: Query, knobs: KnobValues, left_out: Sequence[int] = ()) -> Scored:
    """Return every channel's scores of a text, raw and standardized.

    Args:
        index, query, knobs: the agents, the text, and how to read it.
        left_out: places of agents that late interaction does not compare.
    """
    index = index.reading(reading_of(knobs))
    with no_fork():
        channels = index.channels(
            query, knobs.retrieval.bm25_k1, knobs.retrieval.bm25_b, knobs.retrieval.head_c
        )
        return score_channels(index, query, channels, left_out)


def read_lexically(index: Index, text: str, knobs: KnobValues) -> Lexical:
    """Return the scores of a text's words, as ``score`` takes them of a query."""
    index = index.reading(reading_of(knobs))  # before: it may encode passages, and take long
    with no_fork():
        return index.lexical(text, knobs.retrieval.bm25_k1, knobs.retrieval.bm25_b)


def score_channels(
    index: Index, query: Query, channels: Channels, left_out: Sequence[int] = ()
) -> Scored:
    """Return raw scores of a text standardized, with those of late interaction.

    Args:
        index: that the scores are of: the reading, where passages are read.
        query, channels: the text and its scores.
        left_out: places of agents that late interaction does not compare.
    """
    z_scores = standardize(channels)
    late = late_scores(index, query, z_scores, left_out=left_out, samples=channels.samples)
    return Scored(channels, z_scores | late.z_scores, late.largest)


def score_channels_of_many(
    index: Index,
    queries: Sequence[Query],
    raw: Sequence[np.ndarray],
    samples: np.ndarray,
    left_out: Sequence[Sequence[int]],
) -> Iterator[Scored]:
    """Yield what ``score_channels`` returns for each of many texts, without the cosines of samples.

    A row of these would hold those of all texts.

    Args:
        index: as there.
        queries, left_out: one of each per text.
        raw: the channels that look at all agents, in order, shape (texts, agents) each.
        samples: as in ``Channels``, shape (texts, samples).
    """
    at_once = max(_NUMBERS // len(index.names), 1)
    for start in range(0, len(queries), at_once):
        block = slice(start, start + at_once)
        own = [channel[block] for channel in raw]
        z = standardized(own, index.texts)
        texts = zip(queries[block], samples[block], left_out[block], strict=True)
        every = zip(zip(*own, strict=True), zip(*z, strict=True), texts, strict=True)
        for scores, standard, (query, near, out) in every:
            channels = Channels(*scores, texts=index.texts)
            z_scores: dict[str, np.ndarray] = dict(zip(OF_ALL_AGENTS, standard, strict=True))
            late = late_scores(index, query, z_scores, left_out=out, samples=near)
            yield Scored(channels, z_scores | late.z_scores, late.largest)


class Comparing(Protocol):
    """Agents whose texts can be compared: an index, or a part of one."""

    def late(
        self, query: Query, rows: np.ndarray, samples: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ``maxsim`` and ``maxsim_reverse`` of some agents, shape (rows,) each."""
        ...

    def closeness(self, left: int, right: int) -> float:
        """Return the cosine of two agents' descriptions."""
        ...


@dataclass(frozen=True, slots=True)
class Late:
    """Late interaction of one text: z-scores of both directions, and the largest raw score."""

    z_scores: dict[str, np.ndarray]
    largest: float


def late_scores(
    index: Comparing,
    query: Query,
    z_scores: Mapping[str, np.ndarray],
    left_out: Sequence[int] = (),
    samples: np.ndarray | None = None,
) -> Late:
    """Compare token by token the agents that are best by characters, description and samples.

    The others share the least z-score of those. Where the embedder shows no tokens, the
    description stands in.

    Args:
        index, query: the agents and the text.
        z_scores: of the other channels, shape (agents,) each.
        left_out: places of agents that are not compared, not all of them.
        samples: as in ``Channels``.
    """
    rough = z_scores["chars"] + z_scores["description"] + z_scores["sample_best"]
    suits = min(max(_COMPARED_LEAST, len(rough) // _COMPARED_ONE_IN), _COMPARED_MOST)
    if left_out:
        rough[list(left_out)] = -np.inf
    near = largest(rough, min(suits, len(rough) - len(left_out)))
    raw = dict(zip(("maxsim", "maxsim_reverse"), index.late(query, near, samples), strict=True))
    if np.isnan(raw["maxsim"]).any():
        return Late(dict.fromkeys(raw, z_scores["description"]), 0.0)
    compared = z_of(np.array([*raw.values()]))
    spread = np.empty((len(raw), len(rough)))
    spread[:] = compared.min(axis=1, keepdims=True)
    spread[:, near] = compared
    return Late(dict(zip(raw, spread, strict=True)), float(raw["maxsim"].max()))


def masked(scored: Scored, left_out: Sequence[int]) -> Scored:
    """Return what was scored, of agents that are left out the worst that there is."""
    if not left_out:
        return scored
    out = list(left_out)
    worst = {"description": -np.inf, "sample_best": np.nan, "head": np.nan}
    channels = replace(
        scored.channels,
        **{name: _put(getattr(scored.channels, name), out, low) for name, low in worst.items()},
    )
    z_scores = {channel: _put(z, out, -np.inf) for channel, z in scored.z_scores.items()}
    return Scored(channels, z_scores, scored.maxsim)


def _put(scores: np.ndarray, places: list[int], value: float) -> np.ndarray:
    changed = np.array(scores, dtype=float)
    changed[places] = value
    return changed


def blend(
    own: Mapping[str, np.ndarray], others: Sequence[Mapping[str, np.ndarray]], weight: float
) -> dict[str, np.ndarray]:
    """Return the task's z-scores with a share (0..1) of the mean z-scores of its expansions."""
    return {
        channel: (1 - weight) * own[channel]
        + weight * np.mean([other[channel] for other in others], axis=0)
        for channel in CHANNELS
    }


def fuse(z_scores: Mapping[str, np.ndarray], knobs: KnobValues) -> np.ndarray:
    """Return the weighted sum of the channels, shape (agents,)."""
    return sum((knobs.retrieval.weight(c) * z_scores[c] for c in CHANNELS), np.zeros(1))


def log_posterior(
    z_scores: Mapping[str, np.ndarray], knobs: KnobValues, left_out: Sequence[int] = ()
) -> np.ndarray:
    """Return the log-posterior up to a constant, shape (agents,).

    Args:
        z_scores: of every channel, shape (agents,) each.
        knobs: weights of the channels, and the temperature.
        left_out: places of agents that nothing is for: minus infinity.
    """
    logits = fuse(z_scores, knobs) / knobs.retrieval.temperature
    if left_out:
        logits[list(left_out)] = -np.inf
    return logits


def as_candidates(names: Iterable[str], shares: np.ndarray) -> tuple[Candidate, ...]:
    """Return agents with their shares of the posterior, shape (names,), in the same order."""
    return tuple(map(Candidate, names, shares.tolist()))


def signals(index: Comparing, scored: Scored, best: np.ndarray, knobs: KnobValues) -> Signals:
    """Return the signals of a task, given its best agents in order."""
    channels, first = scored.channels, int(best[0])
    second = int(best[1]) if len(best) > 1 else None
    described = channels.description
    description = float(described.max())
    sample, head = _known(channels.sample_best), channels.head
    weighted = [scored.z_scores[c] for c in CHANNELS if knobs.retrieval.weight(c) > 0]
    return Signals(
        description=description,
        sample=float(sample.max()) if len(sample) else description,
        head_margin=_margin(_known(scored.z_scores["head"], head)),
        head_logit=0.0 if np.isnan(head[first]) else float(head[first]),
        chars=float(channels.chars[first]),
        sample_mean=float(scored.z_scores["sample_mean"][first]),
        maxsim=scored.maxsim,
        agreement=_agreement(weighted, first),
        similarity=0.0 if second is None else index.closeness(first, second),
        described=float(described[first]) - description,
        described_ahead=0.0 if second is None else float(described[first] - described[second]),
        first_sampled=0.0 if np.isnan(channels.sample_best[first]) else 1.0,
    )


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities, shape as given."""
    shifted = np.exp(scores - scores.max())
    return shifted / shifted.sum()


def _known(values: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
    """Return the values that are numbers, or those of which others are."""
    missing = np.isnan(values if of is None else of)
    return values[~missing] if missing.any() else values


def _agreement(z_scores: Sequence[np.ndarray], first: int) -> float:
    """Return the share of channels that put an agent first, 0 where there are none."""
    agreeing = sum(int(own.argmax()) == first for own in z_scores)
    return float(agreeing / len(z_scores)) if z_scores else 0.0


def _margin(z_scores: np.ndarray) -> float:
    """Return how far the first stands above the second, 0 where there is no second."""
    if len(z_scores) < 2:
        return 0.0
    second, first = np.partition(z_scores, -2)[-2:]
    return float(first - second)
