"""Choose what a reranker's scores weigh, and which tasks it reads, on validation requests."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from optimize.search.scored import ScoredRequests
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import Rerank, best_places

_FOLDS = 5
_RIDGE = 0.02  # as of the channels' weights: pulls what the requests do not need towards 0
_LOST = 0.1  # share of the gain that may be lost by not reading sure tasks
_MOST = 100.0  # that a weight may be
_SURE = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)  # posteriors of a first place that need no reading


@dataclass(frozen=True, slots=True)
class RerankChoice:
    """What a reranker brings on validation requests, by weights that were fitted on others.

    Attributes:
        n: requests.
        weight: of its scores; 0 where it is not used.
        below: posterior of the first place below which a task is read; None for every task.
        read: share of the requests that are read.
        points: what that adds to top-1, in percentage points.
        gain, error: mean and standard error of what reading every task adds to the log-likelihood
            of a right agent.
    """

    n: int
    weight: float
    below: float | None
    read: float
    points: float
    gain: float
    error: float

    def sentence(self) -> str:
        """Return the choice in words, one line."""
        brings = f"brings {self.points:+.1f} points on validation (n {self.n}, log-likelihood"
        brings += f" {self.gain:+.3f}, standard error {self.error:.3f})"
        if not self.weight:
            return f"the reranker is not used: it {brings}"
        whom = "every task" if self.below is None else f"tasks below {self.below:g}"
        return f"the reranker {brings}, weight {self.weight:.3g}; it reads {whom} ({self.read:.0%})"

    def to_json(self) -> dict[str, Any]:
        """Return the choice as plain JSON values."""
        return asdict(self)


class _Read:
    """Requests whose best agents a reranker read.

    Attributes:
        logits: the log-posterior before, up to a constant, shape (requests, agents).
        scores: of the best agents, shape (requests, read), in units of their ``spread``.
    """

    def __init__(self, scored: ScoredRequests, rerank: Rerank, knobs: KnobValues) -> None:
        self.logits = scored.fused(knobs) / knobs.retrieval.temperature
        self._places = np.stack([best_places(row, knobs.retrieval.reranked) for row in self.logits])
        raw = scored.reranked(rerank, self._places)
        lacking = raw - raw.max(axis=1, keepdims=True)
        self.spread = float(lacking.std()) or 1.0
        self.scores = lacking / self.spread
        self._right = np.zeros(self.logits.shape, dtype=bool)
        for row, label in zip(self._right, scored.labels, strict=True):
            row[label] = True

    def unread(self, scale: float) -> np.ndarray:
        """Return the log-posterior of every request at another scale."""
        return scale * self.logits

    def moved(self, scale: float, weight: float, below: float | None = None) -> np.ndarray:
        """Return the log-posterior after the reading of tasks of an unsure first place."""
        before = self.unread(scale)
        lacking = weight * self.scores
        after = before + lacking.min(axis=1, keepdims=True)
        rows = np.arange(len(before))[:, None]
        after[rows, self._places] = before[rows, self._places] + lacking
        return np.where(self.is_read(scale, below)[:, None], after, before)

    def is_read(self, scale: float, below: float | None) -> np.ndarray:
        """Return whether each request is read, shape (requests,), bool."""
        if below is None:
            return np.ones(len(self.logits), dtype=bool)
        before = self.unread(scale)
        first = before.max(axis=1) - logsumexp(before, axis=1)
        return np.exp(first) < below

    def likelihoods(self, logits: np.ndarray) -> np.ndarray:
        """Return the log-probability of a right agent, shape (requests,)."""
        right = np.where(self._right, logits, -np.inf)
        return logsumexp(right, axis=1) - logsumexp(logits, axis=1)

    def first_right(self, logits: np.ndarray) -> np.ndarray:
        """Return whether the first place is right, shape (requests,), bool."""
        return self._right[np.arange(len(logits)), logits.argmax(axis=1)]

    def fit(self, rows: np.ndarray) -> tuple[float, float]:
        """Return scale and weight of greatest likelihood on some requests, with a ridge.

        The scale is of what was known before: what two sources say alike counts once.
        """

        def loss(fitted: np.ndarray) -> float:
            scale, weight = fitted
            likely = self.likelihoods(self.moved(scale, weight))[rows]
            return float(-likely.mean() + _RIDGE * weight * weight)

        most = _MOST * self.spread
        bounds = [(0.1, 3.0), (0.0, min(20.0, most))]
        found = minimize(loss, np.array([1.0, min(0.3, most)]), bounds=bounds).x
        return float(found[0]), float(found[1])


class _HeldOut:
    """What is measured of requests at a scale and a weight that were fitted on others."""

    def __init__(self, read: _Read, seed: int) -> None:
        self._read = read
        self._folds = np.random.default_rng(seed).permutation(len(read.logits)) % _FOLDS
        self._fits = [(fold, read.fit(self._folds != fold)) for fold in set(self._folds.tolist())]

    def likelihoods(self, below: float | None = None) -> np.ndarray:
        """Return the log-probability of a right agent, shape (requests,)."""
        return self._measured(self._read.likelihoods, below)

    def points(self, below: float | None = None) -> float:
        """Return what top-1 gains, in percentage points."""
        before = self._read.first_right(self._read.unread(1.0))
        after = self._measured(self._read.first_right, below)
        return 100 * float((after - before).mean())

    def _measured(
        self, measure: Callable[[np.ndarray], np.ndarray], below: float | None
    ) -> np.ndarray:
        values = np.zeros(len(self._folds))
        for fold, fit in self._fits:
            own = self._folds == fold
            values[own] = measure(self._read.moved(*fit, below))[own]
        return values


def choose_rerank(
    scored: ScoredRequests, rerank: Rerank, knobs: KnobValues, seed: int = 0
) -> tuple[KnobValues, RerankChoice]:
    """Return the knobs with a reranker's weight and the tasks that it reads, and what it brings.

    Requests are read once. Weight and scale of what retrieval says are fitted on four fifths of
    them and judged on the others, in turn. The reranker is used where what it adds to the
    log-likelihood of a right agent, request by request, is more than two standard errors, and it
    puts no fewer requests right; else, and where its weight is 0 or there is one request alone, the
    knobs stay as they are. It then reads only tasks whose
    first place has a posterior below the smallest of some that keeps nine tenths of that gain,
    and puts no fewer requests right than reading every task.

    Args:
        scored: validation requests.
        rerank: the reranker.
        knobs: that the search found.
        seed: of the folds.
    """
    read = _Read(scored, rerank, knobs)
    number = len(read.logits)
    if number == 1:  # it cannot be fitted on others
        return knobs, RerankChoice(number, 0.0, None, 0.0, 0.0, 0.0, 0.0)
    held_out = _HeldOut(read, seed)
    every, points = held_out.likelihoods(), held_out.points()
    gains = every - read.likelihoods(read.unread(1.0))
    gain, error = float(gains.mean()), float(gains.std() / np.sqrt(number))
    scale, weight = read.fit(np.ones(number, dtype=bool))
    if gain <= 2 * error or points < 0 or weight == 0:  # the gain may be that of the scale alone
        return knobs, RerankChoice(number, 0.0, None, 0.0, points, gain, error)

    def is_enough(below: float) -> bool:
        lost = float((every - held_out.likelihoods(below)).mean())
        return lost <= _LOST * gain and held_out.points(below) >= points

    below = next(filter(is_enough, _SURE), None)
    chosen = knobs.replaced(
        {
            "retrieval.rerank": weight / read.spread,
            "retrieval.rerank_below": below,
            "retrieval.temperature": knobs.retrieval.temperature / scale,
        }
    )
    share, points = float(read.is_read(scale, below).mean()), held_out.points(below)
    weight = chosen.retrieval.rerank
    return chosen, RerankChoice(number, weight, below, share, points, gain, error)
