"""Log-linear pooling of retrieval's posterior and the LM's distribution."""

import math
from collections.abc import Mapping, Sequence

from ..delegation import Candidate
from .probability import PROBABILITY_FLOOR


def weigh(
    candidates: Sequence[Candidate], belief: Mapping[str, float], weight: float
) -> tuple[Candidate, ...]:
    """Multiply the posterior by the LM's belief to a power, within the shortlist's share.

    A log-linear pool: weight 0 leaves the posterior as it is, 1 takes the LM as an
    independent witness. Agents the LM did not see keep their probabilities.
    """
    shown = [c for c in candidates if c.name in belief]
    share = math.fsum(c.probability for c in shown)
    scaled = {
        c.name: max(c.probability, PROBABILITY_FLOOR)
        * max(belief[c.name], PROBABILITY_FLOOR) ** weight
        for c in shown
    }
    total = math.fsum(scaled.values())
    pooled = [
        Candidate(c.name, share * scaled[c.name] / total) if c.name in scaled else c
        for c in candidates
    ]
    return tuple(sorted(pooled, key=lambda c: (-c.probability, c.name)))
