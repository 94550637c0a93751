"""What is counted of an LM's selection: picks over both orders, and ranks after pooling."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.studies import finetuned
from experiments.support.lm_pooling import pooled_ranks
from optimize.data.dataset import Request
from task_delegator.delegation import (
    Candidate,
    Evidence,
    LMEvidence,
    OrderAnswer,
    RetrievalEvidence,
)
from task_delegator.errors import InputError


def outcome(text: str, acceptable: tuple[str, ...], posterior, *orders, confidence=0.5) -> Any:
    """Return what was heard: retrieval's posterior, and the LM's belief per order shown."""
    answers = tuple(
        OrderAnswer(order, 0.1, None, "answer", max(order, key=order.get)) for order in orders
    )
    evidence = Evidence(
        retrieval=RetrievalEvidence(tuple(Candidate(n, p) for n, p in posterior.items())),
        lm=LMEvidence({}, 0.1, answers),
    )
    usage = SimpleNamespace(lm_calls=len(orders))
    return SimpleNamespace(
        request=Request(text, acceptable),
        correct=next(iter(posterior)) in acceptable,
        delegation=SimpleNamespace(evidence=evidence, usage=usage),
        confidence=confidence,
        ranking=list(posterior),
    )


FIRST = outcome(  # right in both orders, where retrieval is wrong
    "one", ("b",), {"a": 0.6, "b": 0.4}, {"a": 0.2, "b": 0.7}, {"b": 0.6, "a": 0.3}
)
PLACE = outcome(  # the first place, whatever stands there
    "two", ("a",), {"a": 0.6, "b": 0.4}, {"a": 0.7, "b": 0.2}, {"b": 0.8, "a": 0.1}
)
MISSING = outcome("three", ("c",), {"a": 0.6, "b": 0.4}, {"a": 0.6, "b": 0.3}, {"b": 0.3, "a": 0.6})


def test_picks_are_those_of_the_agent_wherever_it_stands():
    found = finetuned.pick_in_both_orders([FIRST, PLACE])
    assert found.retrieval.tolist() == [False, True]
    assert found.order.tolist() == [True, True]
    assert found.reversed.tolist() == [True, False]
    assert found.both.tolist() == [True, False]
    assert found.flips.tolist() == [False, True]


def test_only_shortlists_that_hold_the_right_agent_are_judged():
    assert finetuned.keep_listed([FIRST, PLACE, MISSING]) == [FIRST, PLACE]


def test_an_lm_is_compared_with_the_raw_one_on_requests_that_both_were_shown():
    row = finetuned.selection_row([FIRST, PLACE, MISSING], 300, {"two": True, "four": False})
    assert (row["n"], row["listed"]) == (3, 2)
    assert row["both_versus_raw"]["difference"] == -1.0  # "two": right before, wrong now
    assert row["both_versus_retrieval"]["difference"] == 0.0
    assert row["tokens_per_task"] == 100


def test_a_rank_is_that_of_the_first_right_agent_after_pooling():
    assert pooled_ranks([FIRST, PLACE, MISSING], 0.0).tolist() == [2, 1, np.inf]
    assert pooled_ranks([FIRST], 5.0).tolist() == [1]


def test_the_lm_is_pooled_where_confidence_is_below_the_threshold_of_validation():
    sure = outcome("four", ("b",), {"b": 0.9, "a": 0.1}, confidence=0.9)
    agreed = outcome("two", ("a",), {"a": 0.6, "b": 0.4}, {"a": 0.7, "b": 0.2}, {"a": 0.8, "b": 0})
    wrong_but_sure = outcome("five", ("a",), {"b": 0.9, "a": 0.1}, confidence=0.9)
    validation: Any = [FIRST, sure, sure, sure]  # a quarter of it lies below the threshold
    test: Any = [FIRST, agreed, MISSING, sure, wrong_but_sure]
    asked = []

    def consult(requests):
        asked.append([request.text for request in requests])
        by_text = {o.request.text: o for o in test}
        return [by_text[request.text] for request in requests], 90

    row = finetuned.gain_where_uncertain(validation, test, consult, fitted_on=40)
    assert asked == [["one"], ["one", "two", "three"]]
    assert (row["n"], row["asked"], row["fitted_on"]) == (5, 3, 1)
    assert row["calls_per_task"] == 6 / 5
    assert row["weight"] > 1  # it was right where retrieval was wrong
    assert (row["retrieval"], row["with_lm"]) == (2 / 5, 3 / 5)  # "one" is won
    assert (row["asked_right_before"], row["asked_right_after"]) == (1 / 3, 2 / 3)


def test_no_shortlist_with_the_right_agent_is_an_error_in_one_line():
    with pytest.raises(finetuned.InputError, match="no request's agent"):
        finetuned.selection_row([MISSING], 0, {})


def test_a_full_run_wants_the_other_folds(tmp_path, monkeypatch):
    monkeypatch.setattr(finetuned, "FOLDS", tmp_path)
    with pytest.raises(InputError, match="run make folds"):
        finetuned.run(quick=False)
