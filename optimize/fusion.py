"""Fit channel weights and temperature of retrieval by maximum likelihood."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from optimize.data import Request
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import CHANNELS, Channels, Index, fuse, late_scores, standardise

_RIDGE = 0.02  # pulls weights that the requests do not need towards 0
BM25_K1 = (0.6, 0.9, 1.2, 1.5, 2.0)
BM25_B = (0.3, 0.5, 0.75, 0.9)
HEAD_C = (3.0, 10.0, 30.0, 100.0)
# Channels that say different things: with few requests to fit on, the cosines of whole texts
# add more noise to the fusion than they add knowledge.
LEAN = ("bm25", "chars", "head", "late", "back")


class ScoredRequests:
    """The channels of labelled requests, each computed once per index setting.

    Every channel takes 8 bytes per request and agent. In float32 the rankings stay the same, but
    fitted weights differ from the eighth digit on, and with them the course of a search.

    Args:
        index: the index that scores.
        requests: labelled requests.
        late: how many agents are compared token by token; None for the index's own choice.
    """

    def __init__(self, index: Index, requests: Sequence[Request], late: int | None = None) -> None:
        self._late = late
        places = {name: i for i, name in enumerate(index.names)}
        self._index = index
        self._queries = [
            index.read(index.mentions.taken_from(request.text)[0]) for request in requests
        ]
        self.labels = [np.array([places[n] for n in r.acceptable]) for r in requests]
        self._fixed = [
            (index.chars(q.text), index.description(v), *index.samples(v))
            for q in self._queries
            for v in (q.encoded.vector,)
        ]
        self._standing: dict[tuple[object, ...], np.ndarray] = {}

    def standing(self, channel: str, knobs: KnobValues) -> np.ndarray:
        """Return a channel standardised under the index settings, shape (requests, agents)."""
        key = _setting(channel, knobs)
        if key not in self._standing:
            self._standing |= self._stand(knobs)
        return self._standing[key]

    def fused(self, knobs: KnobValues) -> np.ndarray:
        """Return fused scores, shape (requests, agents)."""
        return fuse({channel: self.standing(channel, knobs) for channel in CHANNELS}, knobs)

    def _stand(self, knobs: KnobValues) -> dict[tuple[object, ...], np.ndarray]:
        """Return the channels that are not known yet, by their settings."""
        index, nothing = self._index, np.zeros(len(self._index.names))
        new = [c for c in CHANNELS if _setting(c, knobs) not in self._standing]
        rows: dict[str, list[np.ndarray]] = {channel: [] for channel in new}
        for query, fixed in zip(self._queries, self._fixed, strict=True):
            bm25 = index.bm25(query.text, knobs.bm25_k1, knobs.bm25_b) if "bm25" in new else nothing
            head = index.head(query.encoded.vector, knobs.head_c) if "head" in new else nothing
            standing = standardise(Channels(bm25, *fixed, head))
            if "late" in new:
                standing |= late_scores(index, query, standing, self._late).standing
            for channel in new:
                rows[channel].append(standing[channel])
        return {_setting(channel, knobs): np.stack(rows[channel]) for channel in new}

    def ranks(self, fused: np.ndarray) -> np.ndarray:
        """Return the place of the best acceptable agent, from 1, ties broken by name."""
        order = np.argsort(-fused, axis=1, kind="stable")
        places = np.argsort(order, axis=1)
        return np.array(
            [places[i, label].min() + 1 for i, label in enumerate(self.labels)], dtype=int
        )

    def log_likelihood(self, fused: np.ndarray, temperature: float) -> float:
        """Return the mean log-probability of an acceptable agent.

        Not ``scipy.special.logsumexp``: its last digits differ, and move fitted temperatures.
        """
        scaled = fused / temperature
        top = scaled.max(axis=1, keepdims=True)
        normaliser = np.log(np.exp(scaled - top).sum(axis=1)) + top[:, 0]
        right = [np.logaddexp.reduce(scaled[i, label]) for i, label in enumerate(self.labels)]
        return float(np.mean(np.array(right) - normaliser))


def _setting(channel: str, knobs: KnobValues) -> tuple[object, ...]:
    """Return the settings that a channel's standing depends on."""
    settings = {"bm25": (knobs.bm25_k1, knobs.bm25_b), "head": (knobs.head_c,)}
    return channel, *settings.get(channel, ())


def fit_temperature(scored: ScoredRequests, fused: np.ndarray) -> float:
    """Return the temperature of greatest likelihood (Guo et al., 2017)."""
    best: Any = minimize_scalar(
        lambda log_t: -scored.log_likelihood(fused, float(np.exp(log_t))),
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
    )
    return float(np.exp(best.x))


def fit_weights(
    scored: ScoredRequests, start: KnobValues, channels: Sequence[str] = CHANNELS
) -> KnobValues:
    """Return the knobs with channel weights of greatest likelihood (conditional logit).

    McFadden's conditional logit over the standardised channels, weights at least 0,
    ridge penalty, for the head of greatest likelihood.

    Args:
        scored: labelled requests.
        start: every other knob.
        channels: those that may have a weight; the others get 0.
    """
    fitted = [_conditional_logit(scored, replace(start, head_c=c), channels) for c in HEAD_C]
    return max(fitted, key=lambda pair: pair[0])[1]


def _conditional_logit(
    scored: ScoredRequests, knobs: KnobValues, channels: Sequence[str]
) -> tuple[float, KnobValues]:
    features = np.stack([scored.standing(c, knobs) for c in channels], axis=2)
    labels = np.array([label[0] for label in scored.labels])
    rows = np.arange(len(labels))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = features @ weights
        scores -= scores.max(axis=1, keepdims=True)
        probabilities = np.exp(scores)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        gap = features[rows, labels] - np.einsum("na,nac->nc", probabilities, features)
        value = -np.log(probabilities[rows, labels]).mean() + _RIDGE * weights @ weights
        return float(value), -gap.mean(axis=0) + 2 * _RIDGE * weights

    start = np.full(len(channels), 0.3)
    best = minimize(loss, start, jac=True, bounds=[(0.0, None)] * len(channels))
    weights: dict[str, Any] = dict.fromkeys(CHANNELS, 0.0)
    weights |= {c: float(w) for c, w in zip(channels, best.x, strict=True)}
    return -float(best.fun), replace(knobs, **weights, temperature=1.0)
