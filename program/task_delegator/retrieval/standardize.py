"""Standardize the channels: scores in standard deviations above the mean of the best hundred."""

from collections.abc import Sequence

import numpy as np

from .channels import OF_ALL_AGENTS, AgentTexts, Channels
from .largest_scores import reached

_WIDE = 4096  # agents of which one text's scores are standardized at a time: they stay in cache
_REFERENCE = 100  # best scores of a channel that set its scale, however many agents there are
# Of words and characters beside the description, where passages stand in for samples. People say
# what they want in other words than an agent's instructions: of 240 requests to ten registries,
# written before anybody saw the program, 136 found their agent with 1.0 where instructions said
# what the descriptions did, 158 with 0.5 and 172 without. Requests that were written from the
# instructions need words: of 160 on validation, with 200 agents, 132, 128 and fewer.
_WORDS = 0.5
_MANY = 1000  # scores of which most are left out before the best are looked for


def standardize(channels: Channels) -> dict[str, np.ndarray]:
    """Return the channels in standard deviations over the best agents, shape (agents,) each.

    Where samples are missing, the description counts, and half as much words and characters of
    what is read instead, where something is. The best agent by its samples then counts as much as
    the best by its description: among those with a description, where agents without samples have
    one. Of an agent with few samples the description is heard in their place in part.
    """
    raw = np.array([getattr(channels, name) for name in OF_ALL_AGENTS])
    complete = channels.texts.trust is None and not np.isnan(raw).any()
    z_scores = z_of(raw) if complete else standardized(raw, channels.texts)
    return dict(zip(OF_ALL_AGENTS, z_scores, strict=True))


def standardized(raw: np.ndarray | Sequence[np.ndarray], texts: AgentTexts) -> list[np.ndarray]:
    """Return what ``standardize`` does of one text or of many, shape as given.

    Args:
        raw: the channels in order, shape (agents,) or (texts, agents) each; what is missing is
            missing for all texts.
        texts: what the agents say.
    """
    bm25, chars, description = (_z_of_each(scores) for scores in raw[:3])
    stand_in = _stand_in(bm25, chars, description, texts.passages)
    by_samples = [_z_by_samples(scores, description, stand_in, texts) for scores in raw[3:]]
    return [bm25, chars, description, *by_samples]


def _stand_in(
    bm25: np.ndarray, chars: np.ndarray, description: np.ndarray, passages: np.ndarray | None
) -> np.ndarray:
    """Return what counts where samples are missing, z-scores as those that are given.

    That is the description, and z(_WORDS * z(bm25 + chars) + description) of whom passages were
    read.
    """
    if passages is None:
        return description
    with_words = _z_of_each(_WORDS * _z_of_each(bm25 + chars) + description)
    return np.where(passages, with_words, description)


def _z_by_samples(
    scores: np.ndarray, description: np.ndarray, stand_in: np.ndarray, texts: AgentTexts
) -> np.ndarray:
    """Standardize a channel that is missing of agents without samples (NaN).

    With samples, z(scores) + lead, where lead = max(description) - max(z(scores)) over the agents
    that can be compared; without, the stand-in. Where samples have a trust below 1, the result is
    z(trust * that + (1 - trust) * description). Of fewer than two agents with samples nothing can
    be standardized: all have the stand-in.

    Args:
        scores: of the channel, shape (agents,) or (texts, agents).
        description, stand_in: z-scores, likewise.
        texts: what the agents say.
    """
    sampled = ~np.isnan(scores.reshape(-1, scores.shape[-1])[0])
    if sampled.sum() < min(2, len(sampled)):
        return stand_in
    z = stand_in.copy()
    z[..., sampled] = _z_of_each(scores[..., sampled])
    if not sampled.all():
        comparable = _comparable(sampled, texts.described)
        if comparable.any():
            best = description[..., comparable].max(axis=-1, keepdims=True)
            z[..., sampled] += best - z[..., comparable].max(axis=-1, keepdims=True)
    if texts.trust is None:
        return z
    trust = np.where(sampled, texts.trust, 1.0)
    return _z_of_each(trust * z + (1.0 - trust) * description)


def _comparable(sampled: np.ndarray, described: np.ndarray | None) -> np.ndarray:
    """Return whose best sample is compared with the best description, bool, shape (agents,).

    Those with samples; with a description as well, where one without samples has that.
    """
    if described is None or not (described & ~sampled).any():
        return sampled
    return sampled & described


def _z_of_each(scores: np.ndarray) -> np.ndarray:
    """Return ``z_of`` of one text's scores or of those of many."""
    if scores.ndim == 1 or scores.shape[-1] < _WIDE:
        return z_of(scores)
    z_scores = np.empty_like(scores)
    for own, z in zip(scores, z_scores, strict=True):
        z[:] = z_of(own)
    return z_scores


def z_of(scores: np.ndarray) -> np.ndarray:
    """Standardize over the best scores, shape (agents,) or (channels, agents).

    Over all of them, a sparse channel (words, characters) would weigh more with every agent
    that shares nothing with the task, and weights fitted on a small registry would no longer
    fit it when it grows.
    """
    best = scores
    if scores.shape[-1] > _REFERENCE:
        best = _best(scores)
    mean = _mean(best)
    centered = scores - mean
    away = centered if best is scores else best - mean
    spread = np.sqrt(_mean(away * away))  # `std` takes the mean again
    apart = spread > 1e-12
    return centered / spread if apart.all() else np.where(apart, centered, 0.0) / (spread + ~apart)


def _best(scores: np.ndarray) -> np.ndarray:
    """Return the best ``_REFERENCE`` scores over the last axis, in no order."""
    if scores.shape[-1] > _MANY:
        return np.apply_along_axis(_best_of_many, -1, scores)
    return np.partition(scores, -_REFERENCE)[..., -_REFERENCE:]


def _best_of_many(scores: np.ndarray) -> np.ndarray:
    least = reached(scores, _REFERENCE)
    above = scores[scores > least]
    if len(above) < _REFERENCE:  # the others are equal, as of words that few agents share
        return np.append(above, np.full(_REFERENCE - len(above), least, dtype=scores.dtype))
    return np.partition(above, -_REFERENCE)[-_REFERENCE:]


def _mean(values: np.ndarray) -> np.ndarray:
    """Return means over the last axis, which is kept; what ``mean`` does in half the time."""
    return np.add.reduce(values, axis=-1, keepdims=True) / values.shape[-1]
