"""Confidence after the LM was asked: what its rating adds, and the fit of the weights."""

from collections.abc import Sequence

import dspy
import numpy as np

from optimize.calibration import fit_confidence
from optimize.evaluation import Outcome, auroc
from optimize.lm_stage.weight import belief_of, pooled, said_by_lm
from task_delegator.decision import assemble
from task_delegator.delegation import Candidate, Features
from task_delegator.delegator import Delegator
from task_delegator.knobs import CorrectWithLMWeights
from task_delegator.lm import writes


def rubric_gain(
    program: Delegator, outcomes: Sequence[Outcome], lm: dspy.BaseLM, weight: float
) -> tuple[tuple[float, float, float] | None, dict[str, int], int]:
    """Ask an LM to rate the first places of answers in which it was heard with a weight.

    Returns:
        AUROC of error with the rubric beside the margin, without it, and the standard error
        of the difference (None where it cannot be measured); the ratings by request, none
        where they do not help; the calls.
    """
    ratings: dict[str, int] = {}
    if not writes(lm):
        return None, ratings, 0  # it decides and writes nothing
    features, right, rated = [], [], []
    for outcome in outcomes:
        ranked = pooled(outcome, weight)
        by_name = {agent.name: agent for agent in program.registry}
        with dspy.context(lm=lm, disable_history=True):
            agents = [by_name[candidate.name] for candidate in ranked[:4]]
            rubric = program.rate(task=outcome.request.text, agents=agents).rubric
        features.append(_features(outcome, ranked, rubric))
        right.append(ranked[0].name in outcome.request.acceptable)
        rated.append(rubric or 3)
        if rubric is not None:
            ratings[outcome.request.text] = rubric
    margin = np.array([feature.margin for feature in features])
    found = rubric_aurocs(margin, np.array(rated), np.array(right))
    helps = found is not None and found[0] - found[1] > found[2]
    return found, ratings if helps else {}, len(outcomes)


def rubric_aurocs(
    margin: np.ndarray, rated: np.ndarray, right: np.ndarray
) -> tuple[float, float, float] | None:
    """Return how well ratings and margin tell right from wrong, and how well the margin alone.

    Args:
        margin: shape (n,).
        rated: 1..5, shape (n,).
        right: shape (n,), bool.

    Returns:
        AUROC of both, of the margin alone, and the standard error of the difference by a paired
        bootstrap; None with fewer than two requests of a kind.
    """
    if min(right.sum(), (~right).sum()) < 2:
        return None
    # A step of the rubric weighs as much as its share of the spread of the margin.
    together = margin / (margin.std() or 1.0) + rated / (rated.std() or 1.0)

    def pair(places: np.ndarray) -> tuple[float, float] | None:
        both = auroc(together[places], right[places])
        alone = auroc(margin[places], right[places])
        return None if both is None or alone is None else (both, alone)

    rng = np.random.default_rng(0)
    drawn = [pair(rng.integers(0, len(right), len(right))) for _ in range(500)]
    error = float(np.std([both - alone for both, alone in filter(None, drawn)]))
    whole = pair(np.arange(len(right)))
    return None if whole is None else (*whole, error)


def _features(outcome: Outcome, ranked: Sequence[Candidate], rubric: int | None = None) -> Features:
    return assemble(
        ranked,
        outcome.delegation.evidence.signals,
        belief=belief_of(outcome),
        orders=[answer.picked for answer in said_by_lm(outcome).answers],
        rubric=rubric,
    )


def fit_confidence_with_lm(
    outcomes: Sequence[Outcome], weight: float, ratings: dict[str, int]
) -> dict[str, float]:
    """Return the weights of the confidence after the LM was asked, as knobs."""
    features, right = [], []
    for outcome in outcomes:
        ranked = pooled(outcome, weight)
        features.append(_features(outcome, ranked, ratings.get(outcome.request.text)))
        right.append(ranked[0].name in outcome.request.acceptable)
    names = tuple(name for name in CorrectWithLMWeights.features() if name != "rubric" or ratings)
    return fit_confidence(features, np.array(right), names, with_lm=True)
