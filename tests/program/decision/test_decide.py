"""What a decision follows: thresholds, for whom the program was calibrated, and doubts."""

from itertools import product

import pytest

from task_delegator.decision import Coverage, Doubts, decide, settled_by
from task_delegator.delegation import Candidate
from task_delegator.knobs import Thresholds

GAPS = ("first", "changed", "registry", "excluded")
SAMPLED = [("first", "samples"), ("registry", "samples"), ("excluded", "samples")]
# Of a task that is surely for the first agent, and of one that is surely for nobody, across a gap:
# (trusted, transfer), whose the confidence is.
ACROSS = {
    (False, False): {
        None: ("review", "review"), "registries": ("review", "review"), "lm": ("assign", "none")
    },
    (False, True): {
        None: ("review", "review"), "registries": ("assign", "none"), "lm": ("assign", "none")
    },
    (True, False): {
        None: ("assign", "assign"), "registries": ("assign", "none"), "lm": ("assign", "none")
    },
    (True, True): {
        None: ("assign", "assign"), "registries": ("assign", "none"), "lm": ("assign", "none")
    },
}  # fmt: skip


@pytest.mark.parametrize("source", [None, "registries", "lm"])
@pytest.mark.parametrize("transfer", [False, True])
@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("by", ["labels", "samples"])
@pytest.mark.parametrize("gap", [None, *GAPS])
def test_whose_confidence_decides_across_a_gap(gap, by, trusted, transfer, source):
    coverage = Coverage(gap, by, trusted, transfer)
    candidates = (Candidate("A", 0.9), Candidate("B", 0.1))
    thresholds = Thresholds(assign=0.8, in_scope=0.5)
    decided = tuple(
        decide(candidates, 0.9, fits, thresholds, coverage, source)[0] for fits in (0.9, 0.2)
    )
    assert decided == (("assign", "none") if gap is None else ACROSS[trusted, transfer][source])


@pytest.mark.parametrize("transfer", [False, True])
@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("by", ["labels", "samples"])
@pytest.mark.parametrize("gap", [None, *GAPS])
def test_what_is_settled_before_an_lm_is_asked(gap, by, trusted, transfer):
    """Nothing is where some confidence may count: the LM's own word may stand in for others."""
    coverage = Coverage(gap, by, trusted, transfer)
    settled = settled_by(calibrated=coverage.own or coverage.borrowed)
    open_ = gap is None or trusted or transfer or (gap, by) in SAMPLED
    assert settled == (None if open_ else "uncalibrated")


@pytest.mark.parametrize(("gap", "by"), [*product(GAPS, ("labels", "samples"))])
def test_what_is_settled_is_reviewed_and_what_is_reviewed_need_not_be_settled(gap, by):
    candidates = (Candidate("A", 0.9), Candidate("B", 0.1))
    thresholds = Thresholds(assign=0.8, in_scope=0.5)
    closed, elsewhere = Coverage(gap, by), Coverage(gap, by, transfer=True)
    if settled_by(calibrated=closed.borrowed) is not None:
        for source in (None, "registries"):
            assert decide(candidates, 0.9, 0.9, thresholds, closed, source)[0] == "review"
    # A registry of another size than those that the confidence was fitted on: nobody's counts.
    assert settled_by(calibrated=elsewhere.borrowed) is None
    assert decide(candidates, 0.9, 0.9, thresholds, elsewhere, None)[0] == "review"


def test_a_language_settles_before_the_calibration():
    assert settled_by(calibrated=True, language="de") == "language"
    assert settled_by(calibrated=False, language="de") == "language"


@pytest.mark.parametrize(
    ("confidence", "fits", "calibrated", "decision"),
    [
        (0.99, 0.9, True, "assign"),
        (0.99, 0.9, False, "review"),
        (0.50, 0.9, True, "review"),
        (0.99, 0.1, True, "none"),
        (0.99, 0.1, False, "review"),
        (float("nan"), 0.9, True, "review"),
        (0.99, float("nan"), True, "review"),
    ],
)
def test_decisions_follow_the_thresholds(confidence, fits, calibrated, decision):
    coverage = Coverage(None if calibrated else "registry")
    candidates = (Candidate("A", 0.9), Candidate("B", 0.1))
    thresholds = Thresholds(assign=0.9, in_scope=0.5)
    assert decide(candidates, confidence, fits, thresholds, coverage)[0] == decision


@pytest.mark.parametrize(
    ("fits", "calibrated", "decision"),
    [(0.999, True, "assign"), (0.92, True, "review"), (0.92, False, "assign")],
)
def test_what_is_for_nobody_as_likely_as_not_is_reviewed(fits, calibrated, decision):
    """The floor is for agents that P(some agent fits) was fitted for."""
    candidates = (Candidate("A", 0.9), Candidate("B", 0.1))
    limits = Thresholds(assign=0.5, in_scope=0.3, floor=0.8, share=0.1)
    coverage = Coverage(None if calibrated else "registry", trusted=True)
    told = decide(candidates, 0.9, fits, limits, coverage)
    assert told[0] == decision
    # 0.92 are odds of 11.5, of which 9 are those that one in ten is for nobody: 1.28 to 1.
    said = "A is right with a probability of 90%, but 55% if every second task were for nobody"
    assert (said in told[1]) == (decision == "review")


def test_what_was_not_understood_is_reviewed_and_says_why():
    candidates = (Candidate("A", 0.9), Candidate("B", 0.1))
    thresholds = Thresholds(assign=0.9, in_scope=0.5)
    decision, reason = decide(candidates, 0.99, 0.1, thresholds, doubts=Doubts(language="de"))
    assert decision == "review"
    assert "'de'" in reason
    decision, reason = decide(candidates, 0.99, 0.9, thresholds, doubts=Doubts(named=("B",)))
    assert decision == "review"
    assert "names B but reads like one for A" in reason
    named = Doubts(named=("A",))
    assert decide(candidates, 0.99, 0.9, thresholds, doubts=named)[0] == "assign"


@pytest.mark.parametrize(
    ("confidence", "said"),
    [
        (
            0.05,
            "No agent is likely: the closest, A, is right with a probability of 5%, 90% is needed to assign",
        ),
        (0.85, "A is right with a probability of 85%, 90% is needed to assign"),
        (0.8985, "A is right with a probability of 89.8%, 90.0% is needed to assign"),
        (0.89999, "A is right with a probability of 90.00%, 90.00% is needed to assign"),
    ],
)
def test_what_lacks_to_an_assignment_is_told_apart(confidence, said):
    candidates = (Candidate("A", 0.9), Candidate("B", 0.1))
    thresholds = Thresholds(assign=0.9, in_scope=0.5)
    decision, reason = decide(candidates, confidence, 0.9, thresholds)
    assert (decision, reason) == ("review", f"{said}; else look at B.")


def test_what_is_assigned_is_not_called_unlikely():
    thresholds = Thresholds(assign=0.1, in_scope=None)
    decision, reason = decide((Candidate("A", 0.9),), 0.2, 0.9, thresholds)
    assert (decision, reason) == ("assign", "A is right with a probability of 20%.")
