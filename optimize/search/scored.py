"""ScoredRequests: the channel scores of labeled requests, computed once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from optimize.data import Request
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import (
    CHANNELS,
    Channels,
    Index,
    Rerank,
    fuse,
    late_scores,
    read_passages,
    read_task,
    reading_of,
    standardize,
)

# What can be read of agents beside descriptions and samples: passages, and of whom.
READINGS = {"none": (0, False), "without samples": (4, False), "all": (4, True)}

_Unset = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # chars to sample_mean


class ScoredRequests:
    """The channels of labeled requests, each computed once per index setting.

    Every channel takes 8 bytes per request and agent. In float32 the rankings stay the same, but
    fitted weights differ from the eighth digit on, and with them the course of a search.

    Args:
        index: the index that scores.
        requests: labeled requests.

    Attributes:
        readings: names of the ``READINGS`` to choose from; none where agents without samples
            have no passages, as samples say more.
    """

    def __init__(self, index: Index, requests: Sequence[Request]) -> None:
        places = {name: i for i, name in enumerate(index.names)}
        self._index = index
        self._queries = [read_task(index, request.text) for request in requests]
        self.labels = [np.array([places[n] for n in r.acceptable]) for r in requests]
        self.readings = _readings(index)
        self._fixed: dict[tuple[int, bool], list[_Unset]] = {}
        self._z_scores: dict[tuple[object, ...], np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to score the same.

        An index holds weak references, and the tables of every agent that was ever read. What it
        is made of goes instead: agents, embedder, and their texts as the embedder sees them.
        """
        index = self._index
        return vars(self) | {
            "_index": (index.agents, index.embed, index.encodings),
            "_queries": [replace(query, lexical=None) for query in self._queries],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the index anew."""
        vars(self).update(state | {"_index": Index(*state["_index"])})

    def z_scores(self, channel: str, knobs: KnobValues) -> np.ndarray:
        """Return a channel standardized under the index settings, shape (requests, agents)."""
        key = self._setting(channel, knobs)
        if key not in self._z_scores:
            self._z_scores |= self._standardized(knobs)
        return self._z_scores[key]

    def fused(self, knobs: KnobValues) -> np.ndarray:
        """Return fused scores, shape (requests, agents)."""
        return fuse({channel: self.z_scores(channel, knobs) for channel in CHANNELS}, knobs)

    def _standardized(self, knobs: KnobValues) -> dict[tuple[object, ...], np.ndarray]:
        """Return the channels that are not known yet, by their settings."""
        index = self._index.reading(reading_of(knobs))
        nothing = np.zeros(len(index.names))
        new = [c for c in CHANNELS if self._setting(c, knobs) not in self._z_scores]
        rows: dict[str, list[np.ndarray]] = {channel: [] for channel in new}
        for query, fixed in zip(self._queries, self._unset(knobs), strict=True):
            bm25 = (
                index.bm25(query.text, knobs.retrieval.bm25_k1, knobs.retrieval.bm25_b)
                if "bm25" in new or index.texts.passages is not None
                else nothing
            )
            head = (
                index.head(query.encoded.vector, knobs.retrieval.head_c)
                if "head" in new
                else nothing
            )
            z_scores = standardize(Channels(bm25, *fixed, head, index.texts))
            if "maxsim" in new:
                z_scores |= late_scores(index, query, z_scores).z_scores
            for channel in new:
                rows[channel].append(z_scores[channel])
        return {self._setting(channel, knobs): np.stack(rows[channel]) for channel in new}

    def _unset(self, knobs: KnobValues) -> list[_Unset]:
        """Return the raw channels that depend on no setting but what is read, per request."""
        reading = reading_of(knobs)
        if reading not in self._fixed:
            index = self._index.reading(reading)
            self._fixed[reading] = [
                (index.chars(q.text), index.description(v), *index.samples(v)[1:])
                for q in self._queries
                for v in (q.encoded.vector,)
            ]
        return self._fixed[reading]

    def _setting(self, channel: str, knobs: KnobValues) -> tuple[object, ...]:
        """Return the settings that a channel's z_scores depends on."""
        own = knobs.retrieval
        words = (own.bm25_k1, own.bm25_b)
        settings = {"bm25": words, "head": (own.head_c,)}.get(channel, ())
        reading = reading_of(knobs)
        if self._index.reading(reading).texts.passages is None:
            return channel, *settings
        # Words stand in for missing samples, and choose whose tokens are compared.
        return channel, reading, *words, *settings

    def ranks(self, fused: np.ndarray) -> np.ndarray:
        """Return the place of the best acceptable agent, from 1, ties broken by name."""
        order = np.argsort(-fused, axis=1, kind="stable")
        places = np.argsort(order, axis=1)
        return np.array(
            [places[i, label].min() + 1 for i, label in enumerate(self.labels)], dtype=int
        )

    def reranked(self, rerank: Rerank, places: np.ndarray) -> np.ndarray:
        """Return a reranker's scores of some agents of each request, with a progress bar.

        Args:
            rerank: the reranker.
            places: of the agents, shape (requests, read), as the scores are.
        """
        both = list(zip(self._queries, places, strict=True))
        bar = tqdm(both, desc="rerank", unit="task", delay=3, leave=False)
        return np.stack([rerank.read(self._index, query, own) for query, own in bar])

    def log_likelihood(self, fused: np.ndarray, temperature: float) -> float:
        """Return the mean log-probability of an acceptable agent.

        Not ``scipy.special.logsumexp``: its last digits differ, and move fitted temperatures.
        """
        scaled = fused / temperature
        top = scaled.max(axis=1, keepdims=True)
        normalizer = np.log(np.exp(scaled - top).sum(axis=1)) + top[:, 0]
        acceptable = [np.logaddexp.reduce(scaled[i, label]) for i, label in enumerate(self.labels)]
        return float(np.mean(np.array(acceptable) - normalizer))


def _readings(index: Index) -> tuple[str, ...]:
    """Return the readings that differ; none where agents without samples have no passages."""
    if read_passages(index.agents, READINGS["without samples"]) is None:
        return ()
    found = {name: read_passages(index.agents, reading) for name, reading in READINGS.items()}
    return tuple(
        name for name in found if name != "all" or found["all"] != found["without samples"]
    )
