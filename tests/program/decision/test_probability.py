"""One floor for what is multiplied, one for log-odds, and no third."""

import math
import re

import pytest
from small import ROOT

from task_delegator.decision import CONFIDENCE_FLOOR, PROBABILITY_FLOOR
from task_delegator.decision.confidence import assemble
from task_delegator.decision.pooling import weigh
from task_delegator.delegation import Candidate, OrderAnswer
from task_delegator.retrieval.retrieve import Signals
from task_delegator.stages.classify import mean_belief


def test_a_belief_of_0_is_taken_as_the_floor():
    belief = mean_belief([OrderAnswer({"A": 1.0, "B": 0.0}, 0.0, None, "answer", "A")])
    assert belief["B"] == pytest.approx(PROBABILITY_FLOOR)
    pooled = weigh((Candidate("A", 0.5), Candidate("B", 0.5)), {"A": 1.0, "B": 0.0}, 1.0)
    assert pooled[1].probability == pytest.approx(PROBABILITY_FLOOR)


def test_a_certain_first_place_has_the_log_odds_of_the_floor():
    signals = Signals(**dict.fromkeys(Signals.__dataclass_fields__, 0.0))
    features = assemble((Candidate("A", 1.0), Candidate("B", 0.0)), signals)
    assert features.logit == pytest.approx(math.log((1 - CONFIDENCE_FLOOR) / CONFIDENCE_FLOOR))


def test_no_module_has_a_floor_of_its_own():
    small = re.compile(r"^_?[A-Z_]+ = 1e-[0-9]+", re.MULTILINE)
    held = {
        (path.name, line)
        for folder in ("program", "optimize")
        for path in (ROOT / folder).rglob("*.py")
        for line in small.findall(path.read_text(encoding="utf-8"))
    }
    assert {name for name, _ in held if name != "probability.py"} <= {
        "slots.py", "metrics.py", "certify.py", "thresholds.py", "lm_share.py",  # rounding
        "linear_head.py",  # a tolerance of the solver
        "logistic.py",  # what equal numbers differ by, rounded
    }  # fmt: skip
