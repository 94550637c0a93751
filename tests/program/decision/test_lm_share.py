"""The LM is asked about no more than its share of the tasks, and about the least certain."""

import copy
import math
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import dspy
import numpy as np
import pytest
from children import in_child
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import recorded_lm, slot_of
from small import HashedWords, delegator

from task_delegator import many
from task_delegator.batch import one_process
from task_delegator.decision.lm_share import (
    BURST,
    RECENT,
    LMShareCap,
    allowed_by_share,
    least_certain,
    lm_decided,
)
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator
from task_delegator.errors import RerankerError

SHARES = st.floats(0, 1)
CERTAINTIES = st.none() | st.floats(0, 1) | st.just(math.nan)
WORDS = ["refund", "my order", "train", "hotel in Porto", "salary", "invoice", "shouts", "fair"]
TASKS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), max_size=9)


def asked_by(cap, certainties):
    return [cap.withholds(certainty) is None for certainty in certainties]


def keeps_to(share, asked):
    """Tell whether no row of tasks has more asked than its share and the burst."""
    beyond = np.concatenate([[0.0], np.cumsum(np.array(asked, dtype=float) - share)])
    above_least = beyond - np.minimum.accumulate(beyond)
    return above_least.max() <= BURST + 1e-6 and beyond.max() <= 1 + 1e-6


@given(share=SHARES, certainties=st.lists(CERTAINTIES, max_size=120))
def test_no_row_of_tasks_has_more_asked_than_the_share_and_a_burst(share, certainties):
    cap = LMShareCap(share)
    asked = asked_by(cap, [0.5 if c is None else c for c in certainties])
    assert keeps_to(share, asked)
    again = asked_by(LMShareCap(share), [0.5 if c is None else c for c in certainties])
    assert again == asked


@settings(max_examples=25, deadline=None)
@given(
    share=SHARES,
    pieces=st.lists(st.sampled_from(["rises", "falls", "same", "random", "easy"]), max_size=6),
    seed=st.integers(0, 99),
)
def test_the_cap_holds_however_the_traffic_changes(share, pieces, seed):
    rng, length = np.random.default_rng(seed), RECENT - 100
    kinds = {
        "rises": np.linspace(0, 1, length),
        "falls": np.linspace(1, 0, length),
        "same": np.full(length, 0.5),
        "random": rng.random(length),
        "easy": np.full(length, 1.0),
    }
    traffic = np.concatenate([[0.3], *(kinds[piece] for piece in pieces)])
    assert keeps_to(share, asked_by(LMShareCap(share), traffic))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.8])
def test_steady_traffic_is_asked_close_to_the_share_and_where_it_is_least_certain(share):
    traffic = np.random.default_rng(0).random(10_000)
    asked = np.array(asked_by(LMShareCap(share), traffic))
    assert share - 0.02 < asked.mean() <= share + 1 / len(traffic)
    assert (traffic[asked] < share + 0.1).mean() > 0.98
    assert asked[traffic < share / 2].mean() > 0.95


def test_tasks_that_need_no_lm_leave_room_only_for_a_burst():
    cap = LMShareCap(0.4)
    assert not any(cap.withholds(None) is None for _ in range(RECENT))
    asked = asked_by(cap, np.linspace(1, 0, 100))  # each less certain than all before
    assert asked[:BURST] == [True] * BURST
    assert sum(asked) <= 0.4 * 100 + BURST


def test_nothing_is_asked_at_a_share_of_0_and_all_at_1_or_without_a_cap():
    traffic = [0.5, 0.1, 0.9] * 20
    assert asked_by(LMShareCap(0), traffic) == [False] * 60
    assert asked_by(LMShareCap(1), traffic) == asked_by(LMShareCap(), traffic) == [True] * 60


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan, "0.4", True])
def test_what_is_no_share_is_refused(office, share):
    with pytest.raises(ValueError, match="max_lm_share is a number from 0 to 1 or None"):
        Delegator(office, HashedWords(), max_lm_share=share)
    program = Delegator(office, HashedWords(), max_lm_share=0.4)
    with pytest.raises(ValueError, match="max_lm_share is a number"):
        program.max_lm_share = share
    assert program.max_lm_share == 0.4


def test_threads_keep_to_one_share():
    cap = LMShareCap(0.3)
    with ThreadPoolExecutor(8) as pool:
        asked = [kept is None for kept in pool.map(cap.withholds, [0.5] * 4000)]
    assert 0.29 * 4000 < sum(asked) <= 0.3 * 4000 + 1


def test_a_copy_counts_anew():
    cap = LMShareCap(0.01)
    assert asked_by(cap, [0.5] * 9) == [True] + [False] * 8
    for twin in (copy.deepcopy(cap), pickle.loads(pickle.dumps(cap))):
        assert (twin.share, asked_by(twin, [0.5] * 2)) == (0.01, [True, False])
    assert asked_by(cap, [0.5]) == [False]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_counts_anew_though_threads_of_its_parent_count():
    cap, done = LMShareCap(0.01), Event()

    def count():
        while not done.is_set():
            cap.withholds(0.5)

    def ask():
        assert asked_by(cap, [0.5] * 2) == [True, False]

    with ThreadPoolExecutor(2) as pool:
        counting = [pool.submit(count) for _ in range(2)]
        try:
            assert [in_child(ask) for _ in range(20)] == [0] * 20
        finally:
            done.set()
        assert [thread.result() for thread in counting] == [None, None]


@given(certainties=st.lists(CERTAINTIES, max_size=30), share=SHARES)
def test_of_known_tasks_the_least_certain_are_chosen(certainties, share):
    most = allowed_by_share(share, len(certainties))
    chosen = least_certain(certainties, most)
    needed = [i for i, certainty in enumerate(certainties) if certainty is not None]
    assert len(chosen) == min(most, len(needed))
    known = [math.inf if math.isnan(c) else c for c in (certainties[i] or 0.0 for i in needed)]
    ranked = [i for _, i in sorted(zip(known, needed, strict=True))]
    assert chosen == set(ranked[: len(chosen)])


def test_a_share_of_a_number_is_not_lost_to_rounding():
    pairs = [(0.29, 100), (0.4, 280), (0.4, 4), (0, 9)]
    assert [allowed_by_share(*pair) for pair in pairs] == [29, 112, 1, 0]


def asking(office, share, **knobs):
    lm, engine = recorded_lm(slot_of("Refunds"))
    program = delegator(office, {"lm.ask_settled": True, "lm.orders": 1, "lm.weight": 1.0} | knobs)
    program.max_lm_share = share
    return program, lm, engine


@pytest.mark.parametrize("threads", [1, 4])
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tasks=TASKS, share=SHARES)
def test_of_many_tasks_exactly_the_share_is_asked_the_least_certain(office, threads, tasks, share):
    program, lm, engine = asking(office, share)
    with dspy.context(lm=lm):
        answers = program.delegate_many(tasks, threads=threads)
    asked = {i for i, answer in enumerate(answers) if answer.usage.lm_calls}
    certainties = [answer.evidence.gate.certainty for answer in answers]
    assert len(engine.prompts) == len(asked) == allowed_by_share(share, len(tasks))
    assert asked == least_certain(certainties, len(asked))
    for place, answer in enumerate(answers):
        assert answer.evidence.gate.withheld == (None if place in asked else "share")
        assert (answer.evidence.lm is None) == (place not in asked)


def test_the_share_holds_up_to_the_end_of_each_group(office, monkeypatch):
    monkeypatch.setattr(many, "_RANKED", 3)
    monkeypatch.setattr(many, "_AT_ONCE", 3)
    program, lm, _ = asking(office, 0.5)
    with dspy.context(lm=lm):
        answers = program.delegate_many(WORDS)
    asked = np.cumsum([answer.usage.lm_calls for answer in answers])
    assert [asked[2], asked[5], asked[7]] == [1, 3, 4]


class FailingAtHotels:
    """A reranker that fails at some tasks."""

    id = "failing at hotels"

    def score(self, task, texts):
        if "hotel" in task:
            raise ZeroDivisionError
        return [0.0] * len(texts)


def failing(office, **settings):
    lm, _ = recorded_lm(slot_of("Refunds"))
    made = Delegator(office, HashedWords(), lm=lm, reranker=FailingAtHotels(), **settings)
    made.knobs.set({"lm.ask_settled": True, "lm.orders": 1, "lm.repeats": 1})
    made.knobs.set({"retrieval.rerank": 1.0})
    return made


@pytest.mark.parametrize("threads", [1, 4])
def test_a_task_that_fails_before_the_lm_is_asked_ends_no_other(office, threads):
    made = failing(office, max_lm_share=0.5)
    answers = list(made.delegate_each(WORDS, threads=threads))
    failed = [i for i, answer in enumerate(answers) if isinstance(answer, RerankerError)]
    assert failed == [WORDS.index("hotel in Porto")]
    asked = [answer.usage.lm_calls for answer in answers if isinstance(answer, Delegation)]
    assert sum(asked) == allowed_by_share(0.5, len(WORDS))


def test_the_gate_holds_below_the_share(office):
    program, lm, engine = asking(office, 0.9, **{"lm.ask_settled": False, "lm.gate": 0.0})
    with dspy.context(lm=lm):
        answers = program.delegate_many(WORDS)
    assert engine.prompts == []
    assert {answer.evidence.gate.withheld for answer in answers} == {None}


def test_without_an_lm_nothing_is_kept_from_it(office):
    program, _, _ = asking(office, 0.0)
    answers = [*program.delegate_many(WORDS), program(WORDS[0])]
    assert {answer.evidence.gate.withheld for answer in answers} == {None}


def test_tasks_that_come_one_by_one_keep_to_the_share(office):
    program, lm, engine = asking(office, 0.25)
    with dspy.context(lm=lm):
        single = [program(task) for task in WORDS * 5]
        assert 8 <= len(engine.prompts) <= 11
        marks = [answer.evidence.gate.withheld == "share" for answer in single]
        assert marks == [answer.usage.lm_calls == 0 for answer in single]
        program.max_lm_share = 0.25
        engine.prompts.clear()
        arrived = [
            one for task in WORDS * 5 for one in program.delegate_each([task], arriving=True)
        ]
    assert len(engine.prompts) == sum(answer.usage.lm_calls for answer in single)
    calls = [answer.usage.lm_calls for answer in arrived if isinstance(answer, Delegation)]
    assert calls == [answer.usage.lm_calls for answer in single]


def test_a_task_that_was_kept_from_the_lm_is_retrieval_s_and_says_so_where_it_is_reviewed(office):
    knobs = {"lm.ask_settled": False, "lm.gate": 1.0, "confidence.assign_threshold": 1.0}
    program, lm, _ = asking(office, 0.0, **knobs)
    alone = program(WORDS[0])
    with dspy.context(lm=lm):
        [many_at_once] = program.delegate_many([WORDS[0]])
        for answer in (program(WORDS[0]), many_at_once):
            assert answer.top3 == alone.top3
            assert answer.decision == alone.decision == "review"
            assert answer.reason == (
                f"{alone.reason} The LM was not asked: other tasks take up the share that it may "
                "be asked about."
            )
        program.knobs.set({"confidence.assign_threshold": 0.0})
        assigned = program(WORDS[0])
    assert assigned.decision == "assign"
    assert "LM" not in assigned.reason
    assert assigned.to_dict()["evidence"]["gate"]["withheld"] == "share"


def test_a_batch_keeps_to_the_share_and_to_the_calls_and_marks_the_rest(office):
    program, lm, engine = asking(office, 0.5)
    with dspy.context(lm=lm):
        rows = list(one_process(program, None, max_lm_calls=2)(WORDS))
    assert len(engine.prompts) == 2
    marks = [row.get("second_pass", False) for row in rows if isinstance(row, dict)]
    assert marks.count(False) == 2
    kept = [row["evidence"]["gate"]["withheld"] for row in rows if isinstance(row, dict)]
    assert (kept.count("share"), kept.count("calls")) == (4, 2)


def test_a_task_that_fails_before_the_lm_is_asked_takes_none_of_its_calls(office):
    tasks = ["hotel in Porto", "a hotel", "refund", "train"]
    made = failing(office)
    *failed, first, second = made.delegate_each(tasks, max_lm_calls=1)
    assert [type(answer) for answer in failed] == [RerankerError] * 2
    assert isinstance(first, Delegation)
    assert isinstance(second, Delegation)
    assert (first.usage.lm_calls, first.evidence.gate.withheld) == (1, None)
    assert (second.usage.lm_calls, second.evidence.gate.withheld) == (0, "calls")


def test_what_is_known_of_a_task_goes_before_the_cap():
    cap = LMShareCap(0.0)
    with lm_decided("ask"):
        assert cap.withholds(0.5) is None
    with lm_decided("calls"):
        assert cap.withholds(0.5) == "calls"
    assert cap.withholds(0.5) == "share"
