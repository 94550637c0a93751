"""Each fault of the LM with each policy: the outcome, and how many requests are sent."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fault_table import RECORDED, RETRIES, TASK, hosted, measure, outcome_of, program
from faults import FAULTS, FaultServer, wait_until
from wire import Provider, decision

from task_delegator.delegator import Delegator
from task_delegator.errors import LMAnswerError, LMError, LMSpecError
from task_delegator.lm import forget_circuits
from task_delegator.lm.specs import language_model

pytestmark = pytest.mark.slow  # servers that are waited for

ROWS = [
    pytest.param(
        row,
        id=f"{row['fault']}-{row['policy']}",
        marks=[pytest.mark.slow] if row["seconds"] >= 1 else [],
    )
    for row in json.loads(RECORDED.read_text())["rows"]
]
CAP = 30.0  # seconds; no fault may take longer than its deadline and some


@pytest.fixture(autouse=True)
def _circuits():
    yield
    forget_circuits()


@pytest.mark.parametrize("row", ROWS)
def test_each_fault_has_its_outcome_with_each_policy(row):
    measured = measure(row["fault"], row["policy"])
    assert measured.outcome == row["outcome"]
    # How many retries there is time for is up to chance.
    for name in ("requests", "next_requests"):
        most = row[name] if row[name] <= 1 else 1 + RETRIES
        assert getattr(measured, name) <= most
    assert measured.seconds + measured.next_seconds < CAP


def test_every_fault_is_recorded():
    recorded = {(row["fault"], row["policy"]) for row in json.loads(RECORDED.read_text())["rows"]}
    assert recorded == {(fault, policy) for fault in FAULTS for policy in ("degrade", "raise")}


@pytest.mark.parametrize("fault", ["hang", "500", "no slot in the answer", "probability above 1"])
def test_a_degraded_delegation_is_what_retrieval_alone_says(fault):
    alone = program(None)(TASK)
    with FaultServer(fault) as server:
        delegation = program(hosted(server, num_retries=0), timeout=1.0)(TASK)
    for name in ("decision", "agent", "top3", "confidence", "rubric"):
        assert getattr(delegation, name) == getattr(alone, name)
    assert delegation.evidence.features == alone.evidence.features
    failure = delegation.evidence.lm_failure
    assert failure is not None
    assert "\n" not in failure.message
    assert json.loads(json.dumps(delegation.to_dict()))["evidence"]["lm_failure"] == {
        "fault": failure.fault,
        "message": failure.message,
    }
    assert alone.evidence.lm_failure is None


def test_a_reviewer_is_told_that_the_lm_failed():
    with FaultServer("401") as server:
        delegate = program(hosted(server))
        delegate.knobs.set({"confidence.assign_threshold": None})
        delegation = delegate(TASK)
    assert delegation.decision == "review"
    assert delegation.reason.endswith("The LM failed: refused.")


def test_a_reviewer_is_told_that_the_lm_is_left_alone():
    with FaultServer("hang") as server:
        delegate = program(hosted(server), timeout=0.5)
        delegate.knobs.set({"confidence.assign_threshold": None})
        first, second = delegate(TASK), delegate(TASK)
    assert first.reason.endswith("The LM failed: time-out.")
    told = "The LM was not asked: it failed before and is left alone for a while."
    assert second.reason.endswith(told)


def test_attempts_are_counted_in_the_usage():
    with FaultServer("500") as server:
        delegation = program(hosted(server, num_retries=2), timeout=CAP)(TASK)
        assert delegation.usage.lm_calls == server.requests == 3


def test_an_lm_that_predictors_were_given_ends_in_time_too():
    with FaultServer("slow drip") as server:
        delegate = program(None, timeout=1.0)
        delegate.set_lm(hosted(server))
        assert outcome_of(delegate) == "assign, time-out"
        assert wait_until(lambda: server.at_once == 0)


@pytest.mark.fault(
    "failing LM", "many tasks", holds="One deadline is spent, then retrieval decides."
)
def test_a_dead_provider_costs_a_batch_one_time_out():
    with FaultServer("hang") as server, ThreadPoolExecutor(4) as threads:
        delegate = program(hosted(server), timeout=1.0)
        outcomes = list(threads.map(lambda _: outcome_of(delegate), range(40)))
        assert set(outcomes) == {"assign, time-out", "assign, paused"}
        assert server.requests <= 4  # those that were on their way together


@pytest.mark.fault("failing LM", "threads beside it", holds="No other task waits.")
def test_a_hung_task_holds_no_other():
    with FaultServer("hang") as dead, FaultServer() as alive, ThreadPoolExecutor(9) as threads:
        hung = [threads.submit(outcome_of, program(hosted(dead))) for _ in range(8)]
        assert wait_until(lambda: dead.requests > 0)
        assert "," not in outcome_of(program(hosted(alive), timeout=CAP))
        assert {call.result() for call in hung} <= {"assign, time-out", "assign, paused"}


def test_awaited_delegations_overlap_and_say_what_called_ones_say():
    async def delegate_all(delegate: Delegator) -> list[Any]:
        return await asyncio.gather(*(delegate.acall(TASK) for _ in range(10)))

    with FaultServer(seconds=0.5) as server:
        delegate = program(hosted(server), timeout=CAP)
        found = asyncio.run(delegate_all(delegate))
        assert server.most_at_once > 1
        assert server.requests == 10
        called = delegate(TASK)
    for delegation in found:
        assert (delegation.usage.lm_calls, delegation.usage.tokens) == (1, called.usage.tokens)
        assert delegation.to_dict() | {"usage": None} == called.to_dict() | {"usage": None}


def test_an_awaited_delegation_degrades_and_raises():
    async def delegate(policy) -> Any:
        with FaultServer("hang") as server:
            return await program(hosted(server), policy, timeout=0.5).acall(TASK)

    assert asyncio.run(delegate("degrade")).evidence.lm_failure.fault == "time-out"
    forget_circuits()
    with pytest.raises(LMError, match="did not answer"):
        asyncio.run(delegate("raise"))


def test_a_cancelled_delegation_ends_at_once_and_pauses_nobody():
    async def cancel(delegate: Delegator, server: FaultServer) -> None:
        task = asyncio.create_task(delegate.acall(TASK))
        await asyncio.to_thread(wait_until, lambda: server.requests == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with FaultServer("hang") as server:
        delegate = program(hosted(server), timeout=CAP)
        started = time.monotonic()
        asyncio.run(cancel(delegate, server))
        assert time.monotonic() - started < CAP
        server.fault = None
        assert "," not in outcome_of(delegate)


def test_a_plan_has_one_deadline_and_says_that_its_lm_failed():
    with FaultServer("hang") as server:
        delegate = program(hosted(server), timeout=1.0)
        delegate.knobs.set({"split.use_lm": True})
        plan = delegate.plan("refund my order, then book a train")
        assert plan.lm_failure is not None
        assert (plan.lm_failure.fault, plan.source) == ("time-out", "lexical")
        assert server.requests == 1
        assert plan.usage.lm_calls == 1
        delegate.on_lm_failure = "raise"
        with pytest.raises(LMError):
            delegate.plan("refund my order, then book a train")


def test_a_decision_model_that_hangs_ends_in_time(monkeypatch):
    pytest.importorskip("typesafe_sdk")  # its import is not timed
    monkeypatch.setenv("TYPESAFE_API_KEY", "key-of-the-environment")
    slow = []

    def whole(headers, body):
        slow.append(1)
        time.sleep(4.0)
        return decision(body["questions"]["slot"]["criteria"])

    with Provider(whole=whole) as provider:
        delegate = program(language_model(f"systemone:{provider.address}"), timeout=2.0)
        assert outcome_of(delegate) == "assign, time-out"
        assert outcome_of(delegate) == "assign, paused"
        assert len(slow) == 1


def test_an_lm_that_is_misnamed_is_an_error_with_either_policy():
    with pytest.raises(LMSpecError):
        program("nosuch/model")(TASK)


def test_an_answer_that_cannot_be_read_is_an_error_of_its_own():
    with FaultServer("no slot in the answer") as server, pytest.raises(LMAnswerError):
        program(hosted(server), "raise")(TASK)


@pytest.mark.parametrize("wrong", [{"on_lm_failure": "ignore"}, {"timeout": 0}, {"timeout": -1.0}])
def test_unknown_policies_and_deadlines_are_refused(office, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Delegator(office, **wrong)
