"""The promise with an LM counts what retrieval assigns by itself as it is assigned."""

import numpy as np
import pytest

from optimize.data import Request
from optimize.evaluation import Outcome
from optimize.lm_stage.confidence import ConfidenceWithLM
from optimize.lm_stage.promise import Served, calibrate_with_lm
from optimize.lm_stage.scope import ScopeWithLM
from task_delegator.decision import Target
from task_delegator.delegation import Delegation, Evidence, GateEvidence
from task_delegator.knobs import Thresholds

_NOTHING = np.zeros(0)
_UNASKED = ConfidenceWithLM({}, (), _NOTHING, np.zeros(0, dtype=bool), _NOTHING)
_NO_SCOPE = ScopeWithLM({}, None, np.zeros(0, dtype=bool), np.zeros(0, dtype=bool))


def surely(fits: float) -> Outcome:
    """Return a right first place with a confidence of 0.9, and how likely some agent fits."""
    evidence = Evidence(
        ranking=("A",),
        gate=GateEvidence(certainty=0.9),
        correct_score=0.9,
        in_scope_score=fits,
    )
    delegation = Delegation(
        task="x",
        decision="review",
        agent="A",
        top3=(),
        confidence=0.9,
        reason="",
        evidence=evidence,
    )
    return Outcome(Request("x", ("A",)), delegation)


@pytest.mark.parametrize(("floor", "assigned"), [(None, 3), (0.8, 2)])
def test_what_is_below_the_floor_is_not_counted_as_assigned(floor, assigned):
    outcomes = [surely(fits) for fits in (0.999, 0.999, 0.92)]
    alone = Thresholds(0.5, 0.3, floor, 0.1)
    served = Served(outcomes, [], [], [], 0.5, alone)
    found = calibrate_with_lm(served, _UNASKED, _NO_SCOPE, Target(0.9))
    assert found.promise.n == assigned
    assert found.scores.unasked is not None
    assert found.scores.unasked.accepted == [True, True, floor is None]
