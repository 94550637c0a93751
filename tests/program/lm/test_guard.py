"""Calls of an LM end in time and cost a dead provider one time-out, at the wire."""

import asyncio
import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest
from dspy.utils.callback import BaseCallback
from dspy.utils.exceptions import LMError as DspyLMError
from dspy.utils.exceptions import LMTimeoutError
from faults import FaultServer, wait_until
from recorded import recorded_lm

from task_delegator.lm import background
from task_delegator.lm.budget import TaskBudget, current_budget, task_budget
from task_delegator.lm.circuit import forget_circuits
from task_delegator.lm.faults import LMOverloadedError, LMPausedError, fault_of, retry_after
from task_delegator.lm.guard import answers_async, circuit_key, guarded

pytestmark = pytest.mark.slow  # servers that are waited for

ENGINES = ["lm15", "litellm"]
CAP = 20.0  # seconds that no call may take here; time-outs are far below


@pytest.fixture(autouse=True)
def _circuits():
    yield
    forget_circuits()


def hosted(server: FaultServer, engine: str = "lm15", **settings: Any) -> dspy.LM:
    return dspy.LM(
        "openai/gpt-4o-mini",
        api_base=server.url,
        api_key="key",
        engine=engine,
        **{"cache": False, "num_retries": 2, "logprobs": True, "top_logprobs": 4} | settings,
    )


def failure(lm: Any, seconds: float | None = 2.0) -> tuple[BaseException, int]:
    """Return how a call fails, and the attempts that it took."""
    started = time.monotonic()
    with task_budget(seconds) as budget, pytest.raises(DspyLMError) as caught:
        lm("hello")
    assert time.monotonic() - started < CAP
    return caught.value, budget.attempts


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fault", ["hang", "hang after headers", "slow drip"])
def test_a_call_ends_at_the_deadline_and_the_connection_is_closed(fault, engine):
    with FaultServer(fault) as server:
        hosted(server, engine).supported_params  # noqa: B018  # LiteLLM's import is not timed
        lm = guarded(hosted(server, engine))
        error, attempts = failure(lm, seconds=0.7)
        assert isinstance(error, LMTimeoutError)
        assert (attempts, server.requests) == (1, 1)
        if fault == "slow drip":
            assert wait_until(lambda: server.at_once == 0)  # nobody reads on
        error, attempts = failure(lm)
        assert isinstance(error, LMPausedError)
        assert (attempts, server.requests) == (0, 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("fault", "kind", "most"),
    [
        ("refused", "unreachable", 0),
        ("closes mid-response", "unreachable", 3),
        ("500", "server error", 3),
        ("503, HTML", "server error", 3),
        ("401", "refused", 1),
        ("429, Retry-After 20", "rate limit", 1),
    ],
)
def test_few_requests_are_sent_for_one_question(fault, kind, most, engine):
    with FaultServer(fault) as server:
        error, attempts = failure(guarded(hosted(server, engine)), seconds=10.0)
        if not (fault == "closes mid-response" and engine == "litellm"):  # calls it bad JSON
            assert fault_of(error) == kind
        assert server.requests <= most
        assert attempts <= 3


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_rate_limit_asks_for_is_kept_within_the_deadline(engine):
    with FaultServer("429, Retry-After 1") as server:
        started = time.monotonic()
        error, _ = failure(guarded(hosted(server, engine, num_retries=1)), seconds=15.0)
        assert time.monotonic() - started >= 1.0
        assert retry_after(error) == 1.0
        assert server.requests == 2


def test_a_provider_that_recovers_is_answered_by():
    with FaultServer("500") as server:
        threading.Timer(0.05, lambda: setattr(server, "fault", None)).start()
        with task_budget(CAP) as budget:
            answer = guarded(hosted(server, num_retries=5))("hello")
        assert '{"slot": "B"}' in str(answer)
        assert budget.attempts == server.requests > 1


def test_a_users_number_of_retries_is_kept():
    for retries in (0, 1):
        with FaultServer("500") as server:
            failure(guarded(hosted(server, num_retries=retries)), seconds=None)
            assert server.requests == 1 + retries


def test_a_hung_call_holds_no_other():
    with FaultServer("hang") as dead, FaultServer() as alive, ThreadPoolExecutor(20) as threads:
        hung = [threads.submit(failure, guarded(hosted(dead)), 4.0) for _ in range(19)]
        assert wait_until(lambda: dead.requests >= 19)
        with task_budget(CAP):
            assert '{"slot": "B"}' in str(guarded(hosted(alive))("hello"))
        assert not any(call.done() for call in hung)
        assert {type(call.result()[0]) for call in hung} == {LMTimeoutError}
    assert background.abandoned() == 0


def test_asynchronous_calls_overlap_and_keep_to_their_deadlines():
    async def ask(lm: Any, seconds: float) -> Any:
        with task_budget(seconds):
            return await lm.acall("hello")

    async def ask_all(alive: Any, dead: Any) -> list[Any]:
        calls = [ask(alive, CAP) for _ in range(10)] + [ask(dead, 0.5)]
        return await asyncio.gather(*calls, return_exceptions=True)

    with FaultServer(seconds=0.5) as slow, FaultServer("hang") as hung:
        *answers, error = asyncio.run(ask_all(guarded(hosted(slow)), guarded(hosted(hung))))
        assert all('{"slot": "B"}' in str(answer) for answer in answers)
        assert slow.most_at_once > 1
        assert isinstance(error, LMTimeoutError)


class Sleepy(dspy.BaseLM):
    """An LM of a user's own, which cannot be awaited."""

    forward_calls = 0

    def __init__(self, over: threading.Event) -> None:
        super().__init__("sleepy/model", cache=False)
        self.over = over

    def forward(self, prompt=None, messages=None, **kwargs):
        self.over.wait()
        raise RuntimeError("woken")


@pytest.mark.filterwarnings("ignore:Implementing custom LMs:DeprecationWarning")
def test_what_cannot_be_awaited_is_left_to_a_thread_and_such_threads_are_few(monkeypatch):
    over = threading.Event()
    try:
        assert not answers_async(guarded(Sleepy(over)))
        monkeypatch.setattr(background, "_MOST_ABANDONED", 3)
        for _ in range(3):
            error, _ = failure(guarded(Sleepy(over)), seconds=0.2)
            assert isinstance(error, LMTimeoutError)
            forget_circuits()
        assert background.abandoned() == 3
        error, _ = failure(guarded(Sleepy(over)), seconds=0.2)
        assert isinstance(error, LMOverloadedError)
    finally:
        over.set()
    assert wait_until(lambda: background.abandoned() == 0)


def test_a_guarded_lm_is_the_users_own_to_dspy():
    seen = []

    class Watch(BaseCallback):
        def on_lm_end(self, call_id, outputs, exception=None):
            seen.append(outputs)

    with FaultServer() as server:
        lm = hosted(server, callbacks=[Watch()], cache=True)
        twin = guarded(lm)
        assert guarded(twin) is twin
        assert isinstance(twin, dspy.LM)
        assert (lm.num_retries, type(lm)) == (2, dspy.LM)
        assert twin.supported_params == lm.supported_params
        with dspy.context(lm=twin, track_usage=True), dspy.track_usage() as usage:
            predict = dspy.Predict("question -> slot")
            with dspy.context(adapter=dspy.JSONAdapter()):
                question = str(uuid.uuid4())  # DSPy's cache outlives this process
                assert [predict(question=question).slot for _ in range(2)] == ["B", "B"]
                varied = twin.copy(rollout_id=7, temperature=1.0)
                assert predict(question=question, lm=varied).slot == "B"
        assert server.requests == 2  # the second was cached
        assert len(seen) == 3
        assert len(lm.history) == 2
        assert usage.get_total_tokens()["openai/gpt-4o-mini"]["total_tokens"] == 206


def test_an_engine_of_a_users_own_is_asked():
    lm, engine = recorded_lm(lambda prompt: "yes")
    with task_budget(CAP) as budget:
        assert guarded(lm)("hello") == ["yes"]
    assert (len(engine.prompts), budget.attempts) == (1, 1)


def test_a_task_that_has_no_time_left_asks_nothing():
    with FaultServer() as server, task_budget(0.01) as budget:
        budget.start()
        time.sleep(0.05)
        with pytest.raises(LMTimeoutError, match="before it was asked"):
            guarded(hosted(server))("hello")
        assert server.requests == 0


def test_a_call_cut_off_at_the_end_of_a_task_pauses_nobody():
    with FaultServer(seconds=1.0) as server:
        lm = guarded(hosted(server))
        with task_budget(1.2) as budget:
            budget.start()
            time.sleep(0.8)
            with pytest.raises(LMTimeoutError):
                lm("hello")
        with task_budget(CAP):
            assert '{"slot": "B"}' in str(lm("hello"))


def test_budgets_end_with_the_one_around_them_and_begin_with_the_first_call():
    with task_budget(0.5) as outer, task_budget(100) as inner:
        assert current_budget() is inner
        assert inner.remaining() == inner.seconds == 0.5
        inner.start()
        time.sleep(0.01)
        assert max(inner.remaining(), outer.remaining()) < 0.5
    assert current_budget().seconds == float("inf")
    with pytest.raises(ValueError, match="positive"):
        TaskBudget(0)


def test_lms_that_may_fail_apart_have_circuits_apart(monkeypatch):
    with FaultServer() as server, FaultServer() as other:
        lm = hosted(server)
        assert circuit_key(lm) == circuit_key(guarded(lm)) == circuit_key(lm.copy(temperature=1.0))
        keys = {circuit_key(each) for each in (lm, hosted(other), lm.copy(api_key="another"))}
        assert len(keys) == 3
        assert "'key'" not in repr(circuit_key(lm))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault("fork", "an LM of the parent", holds="The child asks on a loop of its own.")
def test_a_forked_process_asks_on_a_loop_of_its_own():
    with FaultServer() as server:
        lm = guarded(hosted(server))
        lm("hello")
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends a child that waits
            os._exit(0 if '{"slot": "B"}' in str(lm("hello")) else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert server.requests == 2


def test_what_is_open_when_the_process_ends_is_ended_and_not_left_pending():
    """A connection that a client keeps; Python would tell of its task on standard error."""
    beside, begun, ended = background._Background(), threading.Event(), threading.Event()

    async def kept() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    task = asyncio.run_coroutine_threadsafe(kept(), beside.running())
    assert begun.wait(10)
    beside.stop()
    assert ended.is_set()
    assert task.done()
