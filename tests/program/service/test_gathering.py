"""Requests that wait at the same time are scored together, and answered as one by one."""

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest
from fault_table import TASK, hosted, program
from faults import FaultServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import HashedWords, office_registry

from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.lm import forget_circuits
from task_delegator.registry import Agent
from task_delegator.retrieval import Asked, Retrieval, retrieve
from task_delegator.service import Caller, Desk
from task_delegator.service.gathering import Gathering

TASKS = [
    "the refund of my order is late",
    "book a train to Porto",
    "my salary is late",
    "send the invoice again and book a hotel",
    "not the invoice, the refund",
    "xylophone",
]
CALLERS = [None, (), ("hr.pay",)]


class Calls(HashedWords):
    """Note the texts of each call; a text with ``broken`` in it fails, alone or with others."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def encode(self, texts):
        self.calls.append(list(texts))
        self.go_on.wait(10)
        if any("broken" in text for text in texts):
            raise InputError("a broken text")
        return super().encode(texts)


def warm_desk(*more: Agent) -> tuple[Desk, Calls]:
    embed, registry = Calls(), office_registry()
    for agent in more:
        registry.add(agent)
    desk = Desk(Delegator(registry, embed))
    desk.delegator.warm_up()

    async def meet() -> None:
        for permissions in CALLERS:
            await desk.delegate(Caller("a"), "hello there", permissions)

    asyncio.run(meet())
    embed.calls.clear()
    return desk, embed


async def while_busy(desk: Desk, embed: Calls, *requests: tuple[str, Any]) -> list[Any]:
    """Ask while the first request's texts are being encoded; return what the others got."""
    embed.go_on.clear()
    first = asyncio.create_task(desk.delegate(Caller("a"), "pay money back"))
    while not embed.calls:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(desk.delegate(Caller("a"), *one)) for one in requests]
    await asyncio.sleep(0.05)
    embed.go_on.set()
    await first
    return await asyncio.gather(*others, return_exceptions=True)


def test_a_request_begins_at_once_and_those_that_come_meanwhile_are_encoded_together():
    desk, embed = warm_desk()
    desk._gathering._batches = 1
    asyncio.run(while_busy(desk, embed, (TASKS[0], None), (TASKS[2], ("hr.pay",)), (TASKS[1], ())))
    assert embed.calls == [["pay money back"], sorted(TASKS[:3], key=len)]


def test_a_task_that_comes_as_the_last_batch_ends_is_scored():
    async def ask() -> list[Retrieval | None]:
        gathering = Gathering(lambda asked: [Retrieval(z_scores={}) for _ in asked], batches=1)
        gathering.meet(None)
        async with asyncio.timeout(10):
            # Each asks in the moment in which the one before is answered.
            return [await gathering.scored(Asked("x")) for _ in range(3)]

    assert len(asyncio.run(ask())) == 3


def test_a_batch_is_bounded():
    desk, embed = warm_desk()
    desk._gathering._batches, desk._gathering._together = 1, 2
    asyncio.run(while_busy(desk, embed, *((task, None) for task in (*TASKS[:3], TASKS[4]))))
    assert [len(texts) for texts in embed.calls] == [1, 2, 2]


def test_a_request_that_fails_fails_alone():
    desk, embed = warm_desk()
    desk._gathering._batches = 1
    requests = [(TASKS[0], None), ("a broken task", None), ("  ", None), (TASKS[1], ())]
    found = asyncio.run(while_busy(desk, embed, *requests))
    assert [type(one) for one in found] == [tuple, InputError, InputError, tuple]
    assert [str(found[1]), found[2].args[0].split(":")[0]] == ["a broken text", "the task is empty"]
    assert [found[0][1].task, found[3][1].task] == [TASKS[0], TASKS[1]]


def test_no_retrieval_stops_the_loop_that_all_requests_are_answered_by(monkeypatch):
    desk, _ = warm_desk()
    ranks, loops = desk.delegator.retrieve.forward, []

    def spy(**inputs):
        loops.append(threading.current_thread() is threading.main_thread())
        return ranks(**inputs)

    monkeypatch.setattr(desk.delegator.retrieve, "forward", spy)
    asyncio.run(desk.delegate(Caller("a"), "ask Travel, the refund of my order is late"))
    assert loops == [False] * len(loops)
    assert loops


def test_the_first_task_of_a_caller_keeps_no_other_waiting():
    desk, embed = warm_desk(Agent(name="New", required_permissions=frozenset({"new"})))
    desk._gathering._batches = 1
    found = asyncio.run(while_busy(desk, embed, (TASKS[0], ("new",)), (TASKS[1], None)))
    assert [TASKS[0]] in embed.calls
    assert [one[1].task for one in found] == TASKS[:2]


def test_permissions_that_no_agent_asks_for_make_no_other_caller():
    """A request may name a thousand, and others each time: what is built would be kept by them."""
    desk, embed = warm_desk()
    desk._gathering._batches = 1
    many = [f"{number:0200}" for number in range(1000)]
    requests = [(TASKS[0], ()), (TASKS[1], many), (TASKS[2], [*many, "hr.pay"])]
    found = asyncio.run(while_busy(desk, embed, *requests))
    assert embed.calls == [["pay money back"], sorted(TASKS[:3], key=len)]  # all of them are met
    assert [one[1].agent for one in found] == [desk.delegator(*one).agent for one in requests]


def test_an_agent_that_asks_for_a_permission_from_now_on_is_found_by_who_has_it():
    desk, _ = warm_desk()
    asked = asyncio.run(desk.delegate(Caller("a"), "xylophone", ["music"]))
    desk.delegator.registry.add(
        Agent(name="Band", description="xylophone", required_permissions=frozenset({"music"}))
    )
    again = asyncio.run(desk.delegate(Caller("a"), "xylophone", ["music"]))
    without = asyncio.run(desk.delegate(Caller("a"), "xylophone", ["other"]))
    tops = [[one.name for one in found.top3] for _, found in (asked, again, without)]
    assert ["Band" in top for top in tops] == [False, True, False]


def test_no_set_of_permissions_that_was_met_is_kept():
    gathering = Gathering(lambda asked: [None] * len(asked))
    permissions = frozenset({"a", "b"})
    kept = weakref.ref(permissions)
    gathering.meet(permissions)
    del permissions
    gc.collect()
    assert kept() is None


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests=st.lists(
        st.tuples(st.sampled_from(TASKS), st.sampled_from(CALLERS)), min_size=1, max_size=9
    )
)
def test_concurrent_requests_are_answered_as_one_by_one(requests):
    desk, _ = DESK

    async def ask_all():
        asked = (desk.delegate(Caller("a"), *one) for one in requests)
        return await asyncio.gather(*asked)

    answers = asyncio.run(ask_all())
    assert len({request_id for request_id, _ in answers}) == len(requests)
    for (task, permissions), (_, answer) in zip(requests, answers, strict=True):
        alone = desk.delegator(task, permissions)
        assert (answer.task, answer.decision, answer.agent) == (task, alone.decision, alone.agent)
        assert answer.several == alone.several
        assert answer.confidence == pytest.approx(alone.confidence, abs=1e-6)
        assert [c.name for c in answer.ranking] == [c.name for c in alone.ranking]
        for one, other in zip(answer.ranking, alone.ranking, strict=True):
            assert one.probability == pytest.approx(other.probability, abs=1e-6)


DESK = warm_desk()


def test_parts_of_a_task_are_scored_with_those_that_wait_at_the_same_time(monkeypatch):
    desk, _ = warm_desk()
    desk.delegator.knobs.set({"split.threshold": 0.5})
    alone = [desk.delegator(task).several for task in TASKS]
    assert any(several is not None for several in alone)

    def score(*_):
        raise AssertionError("a part was scored by itself")

    monkeypatch.setattr(retrieve, "score", score)

    async def answered() -> list[Any]:
        return await asyncio.gather(*(desk.delegate(Caller("a"), task) for task in TASKS))

    for (_, answer), several in zip(asyncio.run(answered()), alone, strict=True):
        assert answer.several == pytest.approx(several, abs=1e-6)


def test_nobody_waits_for_ever_where_the_service_ends():
    begun, release = threading.Event(), threading.Event()

    def score(asked):
        begun.set()
        release.wait(10)
        return [Retrieval(z_scores={}) for _ in asked]

    gathering = Gathering(score, together=1, batches=1)
    gathering.meet(None)

    async def end() -> list[Any]:
        waiting = [asyncio.create_task(gathering.scored(Asked("a"))) for _ in range(3)]
        await asyncio.to_thread(begun.wait)
        for work in gathering._working:
            work.cancel()
        release.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert all(isinstance(one, asyncio.CancelledError) for one in asyncio.run(end()))


@pytest.fixture
def _circuits():
    yield
    forget_circuits()


@pytest.mark.usefixtures("_circuits")
def test_calls_of_an_lm_are_awaited_side_by_side_each_with_its_own_deadline():
    with FaultServer(seconds=0.3) as server:
        desk = Desk(program(hosted(server)))
        desk._gathering.meet(None)

        async def ask_all() -> list[Any]:
            asked = (desk.delegate(Caller("a"), TASK) for _ in range(6))
            return await asyncio.gather(*asked)

        answers = asyncio.run(ask_all())
        assert server.most_at_once > 1
        assert [answer.usage.lm_calls for _, answer in answers] == [1] * 6
