"""How well retrieval and a reranker rank together: what stops a training and chooses of it."""

from collections.abc import Callable, Sequence

import numpy as np

from optimize.finetune.reranker.lists import Candidates

Score = Callable[[Sequence[tuple[str, str]]], np.ndarray]


def rank(asked: Sequence[Candidates], score: Score) -> dict[str, float]:
    """Return how requests of one registry are ranked, by retrieval and scores added.

    Args:
        asked: requests with their candidates.
        score: of pairs of task and agent, shape (pairs,).

    Returns:
        ``n``, ``top1`` and ``mrr``, the mean reciprocal rank, 0 where no acceptable agent is
        among the candidates; ``retrieval_top1``, without the scores; and ``fits``, the
        probability that an acceptable agent has a higher score than a wrong one of another
        request: 0.5 for scores that say nothing by themselves.
    """
    pairs = [(own.task, text) for own in asked for text in own.texts]
    ends = np.cumsum([len(own.texts) for own in asked])[:-1]
    scores = np.split(np.asarray(score(pairs), dtype=np.float64), ends)
    ranks = [_rank(own, given) for own, given in zip(asked, scores, strict=True)]
    right, wrong = [], []
    for own, given in zip(asked, scores, strict=True):
        for place, value in enumerate(given):
            (right if place in own.acceptable else wrong).append(value)
    return {
        "n": len(asked),
        "top1": float(np.mean([place == 1 for place in ranks])),
        "mrr": float(np.mean([1 / place for place in ranks])),
        "retrieval_top1": float(np.mean([0 in own.acceptable for own in asked])),
        "fits": _above(np.array(right), np.array(wrong)),
    }


def _rank(own: Candidates, scores: np.ndarray) -> float:
    """Return the place of the best acceptable agent, from 1; infinite without one."""
    order = np.argsort(-(np.array(own.logits) + scores), kind="stable")
    places = [place for place, agent in enumerate(order, 1) if agent in own.acceptable]
    return min(places, default=np.inf)


def _above(right: np.ndarray, wrong: np.ndarray) -> float:
    """Return how often a right score is above a wrong one, ties by half (area under the ROC)."""
    if not len(right) or not len(wrong):
        return 0.5
    ordered = np.sort(wrong)
    below = np.searchsorted(ordered, right, "left") + np.searchsorted(ordered, right, "right")
    return float(below.mean() / (2 * len(wrong)))
