from dataclasses import replace

import dspy
import pytest
from recorded import recorded_lm, until_it_dies
from small import HashedWords, delegator

from optimize.calibration.plans import evaluate_plans, fit_split, interleaved, set_scores
from optimize.data.dataset import Dataset, Request
from task_delegator.delegator import Delegator
from task_delegator.errors import LMError

THINGS = {
    "refund my order": "Refunds",
    "send the invoice again": "Invoices",
    "book a train": "Travel",
    "my salary is late": "Payroll",
}
SINGLE = tuple(
    Request(f"{opening} {text}", (name,))
    for text, name in THINGS.items()
    for opening in ("please", "Hi all, could you", "as said on Monday:", "soon")
)
SEVERAL = tuple(
    Request(f"Please {a}, then {b} for the customer.", (THINGS[a], THINGS[b]))
    for a in THINGS
    for b in THINGS
    if a != b
)


@pytest.mark.parametrize(
    ("given", "expected", "scores"),
    [
        (["A", "B"], ["A", "B"], (1.0, 1.0, 1.0)),
        (["A"], ["A", "B"], (1.0, 0.5, 2 / 3)),
        (["A", "C"], ["A", "B"], (0.5, 0.5, 0.5)),
        (["C"], ["A", "B"], (0.0, 0.0, 0.0)),
        ([], ["A"], (0.0, 0.0, 0.0)),
    ],
)
def test_sets_are_scored_by_hand(given, expected, scores):
    assert set_scores(given, expected) == pytest.approx(scores)


def dataset(office, tmp_path) -> Dataset:
    splits = {"train": SINGLE, "validation": SINGLE, "test": SINGLE}
    several = {"train": SEVERAL, "validation": SEVERAL, "test": SEVERAL}
    empty = dict.fromkeys(splits, ())
    return Dataset(tmp_path, office, splits, empty, several, empty)


def test_when_to_split_is_fitted_and_measured(office, tmp_path):
    program = Delegator(office, HashedWords())
    fit_split(program, dataset(office, tmp_path))
    split = program.knobs.values.split
    assert 0 < (split.threshold or 0.0) <= (split.review_threshold or 0.0) <= 1
    report = evaluate_plans(program, SEVERAL, SINGLE)
    assert report.split_in_vain <= 2 / len(SINGLE)
    assert report.f1 > 0.8
    assert report.f1_ci95[0] <= report.f1 <= report.f1_ci95[1]
    never = program.deepcopy()
    never.knobs.set({"split.threshold": None})
    assert evaluate_plans(never, SEVERAL, SINGLE).f1 < report.f1


@pytest.mark.parametrize("own", [None, 0.25])
def test_with_few_examples_a_task_is_split_as_before_or_as_shipped(office, tmp_path, caplog, own):
    program = Delegator(office, HashedWords())
    program.knobs.set({"split.threshold": own})
    before = program.knobs.values
    bare = dataset(office, tmp_path)
    few = dict.fromkeys(bare.multi, SEVERAL[:3])
    fit_split(program, replace(bare, multi=few))
    if own is not None:
        assert program.knobs.values == before
        return
    split = program.knobs.values.split
    assert split.threshold is not None
    assert split.several.weakest_part > 0
    assert program.knobs.values.model_copy(update={"split": before.split}) == before
    assert "multi.json has 3 of split 'train' and 3 of split 'validation'" in caplog.text


def test_candidates_of_a_plan_are_interleaved_by_rank(office):
    program = Delegator(office, HashedWords())
    program.knobs.set({"split.threshold": 0.0, "retrieval.k": 3})
    with dspy.context(lm=None):
        plan = program.plan("Please refund my order, then book a train for the customer.")
    firsts = [step.delegation.top3[0].name for step in plan.steps]
    assert interleaved(plan)[: len(firsts)] == firsts
    assert len(set(interleaved(plan))) == len(interleaved(plan))


@pytest.mark.parametrize("knobs", [{"split.use_lm": True, "lm.gate": None}, {"lm.gate": 1.0}])
def test_plans_are_not_measured_with_an_lm_that_dies_in_the_middle(office, knobs):
    program = delegator(office, {**knobs, "lm.ask_settled": True})
    cut = '{"parts": [{"task": "refund my order"}, {"task": "book a train"}]}'
    lm, _ = recorded_lm(until_it_dies(lambda p: cut if "parts" in p else '{"slot": "A"}', 5))
    with dspy.context(lm=lm), pytest.raises(LMError, match="did not answer"):
        evaluate_plans(program, SEVERAL, SINGLE)
