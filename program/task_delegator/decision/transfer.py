"""Confidence in a registry that the program was not calibrated for.

What retrieval shows of a task, margins, agreement and closeness, means much the same in any
registry, once its size and whether its agents have samples are known: a logistic model of these,
fitted on many small registries (``optimize transfer``), carries over to others. An LM that nobody
measured there is taken at its word.
"""

import math

from ..delegation import Features, Signals
from ..knobs import KnobValues
from .confidence import Assessment, in_scope_features, sigmoid

# An LM's word counts for no more: some never say less than certainty.
_MOST = 0.98


def transfers(agents: int, knobs: KnobValues) -> bool:
    """Tell whether the program has a confidence for a registry of that size."""
    transfer = knobs.transfer
    known = transfer.least_agents <= agents <= transfer.most_agents
    return transfer.assign_threshold is not None and known


def transferred(
    alone: Assessment, signals: Signals, agents: int, sampled: float, knobs: KnobValues
) -> Assessment:
    """Return an assessment with the probabilities that other registries give.

    Its confidence is P(the first place is right, and some agent fits), which P(some agent fits)
    is never below.

    Args:
        alone: by the program's own calibration. P(some agent fits) stays where the program tells
            nobody's tasks apart in other registries.
        signals: of retrieval.
        agents: how many there are.
        sampled: share of them that have samples, 0..1.
        knobs: weights of the features.
    """
    transfer = knobs.transfer
    seen = transfer_features(signals, alone.features, agents, sampled)
    found = alone.copy(confidence=sigmoid(transfer.right.log_odds(seen)))
    if transfer.none_threshold is None:
        return found
    fits = sigmoid(transfer.fits.log_odds(seen))
    return found.copy(in_scope_score=max(fits, found.confidence))


def transfer_features(
    signals: Signals, features: Features, agents: int, sampled: float
) -> dict[str, float | None]:
    """Return what both probabilities read, by name; arguments as for ``transferred``."""
    return {
        **in_scope_features(signals, features),
        "log_agents": math.log(agents),
        "sampled": sampled,
        "sampled_description": sampled * signals.description,
        "sampled_sample": sampled * signals.sample,
        # Of some agents with samples and some without, those with them draw tasks.
        "first_sampled": signals.first_sampled * (1.0 - sampled),
        "first_bare": (1.0 - signals.first_sampled) * sampled,
    }


def probabilities_of_lm(first: float, none: float, mass: float = 1.0) -> tuple[float, float]:
    """Return P(the first place is right and some agent fits), and P(some fits), as an LM says.

    Args:
        first: its probability that the first of it and retrieval together is right, if any agent
            that it was shown fits.
        none: its probability that none of them does.
        mass: share of its belief that these answers are at all.

    Returns:
        Both within 0.02..0.98.
    """
    return _bounded(first * (1.0 - none) * mass), _bounded(1.0 - none * mass)


def _bounded(probability: float) -> float:
    return min(max(probability, 1.0 - _MOST), _MOST)
