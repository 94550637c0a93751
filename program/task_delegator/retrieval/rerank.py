"""Rerank: a reranker reads a task with each of its best agents, before any LM is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..delegation import Signals
from ..errors import DelegatorError, InputError, RerankerError
from ..knobs import KnobValues
from ..rerankers import Reranker, agent_text
from ..text import describe_error
from .fusion import softmax
from .index import Index, Query
from .largest_scores import largest


@dataclass(frozen=True, slots=True)
class Reranked:
    """What a reranker made of a task.

    Attributes:
        logits: the log-posterior up to a constant, shape (agents,).
        scores: of the agents that it read, by name; none where it was not asked.
    """

    logits: np.ndarray
    scores: Mapping[str, float]

    def seen_in(self, signals: Signals) -> Signals:
        """Return the signals of retrieval with the best score, as they are without one."""
        return replace(signals, rerank=max(self.scores.values())) if self.scores else signals


class Rerank:
    """Let a reranker read the best agents of tasks; shared by all copies of a program.

    Args:
        reranker: None for none; it is then asked nothing.
    """

    def __init__(self, reranker: Reranker | None = None) -> None:
        self._reranker = reranker

    def __deepcopy__(self, memo: dict[int, Any]) -> "Rerank":
        """Return itself: an optimizer's copies of the program read with the same model."""
        return self

    @property
    def id(self) -> str | None:
        """The reranker's, None without one."""
        return None if self._reranker is None else self._reranker.id

    def __call__(
        self, index: Index, query: Query, knobs: KnobValues, logits: np.ndarray
    ) -> Reranked:
        """Return the log-posterior after the reranker read the best agents.

        Args:
            index, query: the agents and the task as it was read.
            knobs: whether it reads this task, how many agents, and what its scores weigh.
            logits: before it read, shape (agents,); minus infinity for agents left out, of which
                nothing is read.

        Raises:
            InputError: the knobs give it a weight, and there is none.
            RerankerError: it fails.
        """
        own = knobs.retrieval
        if own.rerank == 0:
            return Reranked(logits, {})
        if self._reranker is None:
            raise InputError(
                "retrieval.rerank is above 0 and the program has no reranker; "
                "give the one that it was compiled with (reranker=)"
            )
        if own.rerank_below is not None and softmax(logits).max() >= own.rerank_below:
            return Reranked(logits, {})
        places = best_places(logits, own.reranked)
        scores = self.read(index, query, places)
        names = [index.names[place] for place in places.tolist()]
        moved = with_scores(logits, places, scores, own.rerank)
        return Reranked(moved, dict(zip(names, scores.tolist(), strict=True)))

    def read(self, index: Index, query: Query, places: np.ndarray) -> np.ndarray:
        """Return the reranker's score of some agents, float64, shape (places,).

        It reads the task without names of agents, as an LM does.

        Args:
            index, query: the agents and the task as it was read.
            places: of the agents in the index.

        Raises:
            RerankerError: it fails, or gives no finite number for each agent.
        """
        if self._reranker is None:
            raise InputError("the program has no reranker; give it one (reranker=)")
        agents = [index.agents[place] for place in places.tolist()]
        samples = index.nearest_samples(query, agents)
        texts = [agent_text(agent, samples[agent.name]) for agent in agents]
        return _scores(self._reranker, query.shown, texts)


def best_places(logits: np.ndarray, number: int) -> np.ndarray:
    """Return the places of the best agents, best first, without those left out."""
    return largest(logits, min(number, int(np.isfinite(logits).sum())))


def with_scores(
    logits: np.ndarray, places: np.ndarray, scores: np.ndarray, weight: float
) -> np.ndarray:
    """Return the log-posterior with a reranker's scores added.

    The best score adds nothing, the others take away what they lack. Who was not read loses as
    much as the worst who was: no agent overtakes because it was not read.

    Args:
        logits: before, shape (agents,).
        places: of the agents that were read, the best.
        scores: of these, in the same order.
        weight: of the scores.
    """
    lacking = weight * (scores - scores.max())
    moved = logits + lacking.min()
    moved[places] = logits[places] + lacking
    return moved


def _scores(reranker: Reranker, task: str, texts: Sequence[str]) -> np.ndarray:
    try:
        scores = np.asarray(reranker.score(task, texts), dtype=np.float64)
    except DelegatorError:
        raise
    except Exception as error:  # a user's own, or of the library of a model
        said = describe_error(error, [task, *texts])
        raise RerankerError(
            f"reranker {reranker.id}: failed: {said}; mend it, or use a program without one"
        ) from error
    if scores.shape != (len(texts),) or not np.isfinite(scores).all():
        raise RerankerError(
            f"reranker {reranker.id}: score() must give {len(texts)} finite numbers for "
            f"{len(texts)} agents; mend it, or use a program without one"
        )
    return scores
