"""The assign threshold where the LM was asked, for the precision of everything that is assigned.

What a program with an LM assigns is of two kinds: what retrieval is certain of, and what the LM was
asked about. The first is assigned at the threshold of retrieval alone; the second threshold is
chosen for both together.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from optimize.calibration import seem_served, tell
from optimize.evaluation import Outcome
from optimize.lm_stage.confidence import ConfidenceWithLM
from optimize.lm_stage.scope import ScopeWithLM
from task_delegator.artifact import ValidationScores
from task_delegator.decision import OperatingPoint, Target, choose_threshold
from task_delegator.knobs import Thresholds


@dataclass(frozen=True, slots=True)
class Served:
    """Validation requests, and which of them a program with its gate asks the LM about.

    Attributes:
        inside, outside: in scope and out of scope, with the delegations of retrieval alone.
        inside_with_lm, outside_with_lm: those of them that the LM was asked about.
        gate: certainty of retrieval below which the LM is asked.
        alone: thresholds of retrieval alone.
    """

    inside: Sequence[Outcome]
    outside: Sequence[Outcome]
    inside_with_lm: Sequence[Outcome]
    outside_with_lm: Sequence[Outcome]
    gate: float
    alone: Thresholds

    def below_gate(self, outcomes: Sequence[Outcome]) -> np.ndarray:
        """Return which requests the program asks about, shape (n,), bool.

        By the certainty of retrieval alone, which a second reading may round otherwise.
        """
        every = (*self.inside_with_lm, *self.outside_with_lm, *self.inside, *self.outside)
        known = {o.request.text: o.delegation.evidence.gate.certainty for o in every}
        certainties = [known[outcome.request.text] for outcome in outcomes]
        return np.array(certainties, dtype=float) < self.gate


@dataclass(frozen=True, slots=True)
class CalibrationWithLM:
    """What a program with an LM assigns, as manifests store it.

    Attributes:
        features: that the confidence reads.
        promise: what both thresholds do together.
        scores: of the requests that it is asked about, and of the others.
    """

    features: tuple[str, ...]
    promise: OperatingPoint
    scores: ValidationScores

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest keeps, as plain JSON values."""
        promise = {"features": list(self.features), "promise": asdict(self.promise)}
        return promise | self.scores.to_json()


def calibrate_with_lm(
    served: Served, confidence: ConfidenceWithLM, scope: ScopeWithLM, target: Target
) -> CalibrationWithLM:
    """Choose the threshold where the LM was asked.

    A request below the gate that the LM was not asked about, for lack of calls, is left out.

    Args:
        confidence, scope: of the requests that the LM was asked about, in their order.
    """
    asked, asked_outside = (
        served.below_gate(outcomes) for outcomes in (served.inside_with_lm, served.outside_with_lm)
    )
    scores = ValidationScores(
        confidences=confidence.inside[asked].tolist(),
        right=confidence.right[asked].tolist(),
        accepted=scope.inside[asked].tolist(),
        out_of_scope=confidence.outside[asked_outside & scope.outside].tolist(),
        n_out_of_scope=int(asked_outside.sum()),
        unasked=_unasked(served),
    )
    promise = choose_threshold(scores.sample(served.alone.assign), target)
    tell(promise)
    return CalibrationWithLM(confidence.features, promise, scores)


def _unasked(served: Served) -> ValidationScores:
    """Return the scores of the requests that retrieval is certain of."""
    inside, outside = (
        [o for o, below in zip(outcomes, served.below_gate(outcomes), strict=True) if not below]
        for outcomes in (served.inside, served.outside)
    )
    accepted, accepted_outside = (
        seem_served(
            [o.confidence for o in outcomes],
            [o.delegation.evidence.in_scope_score for o in outcomes],
            served.alone,
        )
        for outcomes in (inside, outside)
    )
    outside_scores = np.array([o.confidence for o in outside], dtype=float)
    return ValidationScores(
        confidences=[o.confidence for o in inside],
        right=[o.correct for o in inside],
        accepted=accepted.tolist(),
        out_of_scope=outside_scores[accepted_outside].tolist(),
        n_out_of_scope=len(outside),
    )
