"""While a change of the registry is taken over, tasks are answered by what was there before."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import sleep

import pytest
from small import HashedWords, make_agent

from task_delegator.delegator import Delegator
from task_delegator.retrieval import index_cache
from task_delegator.retrieval.state import State

TASK = "refund my order, money back please"
SECONDS = 20
AFTER = State.after


class SlowChange:
    """Take changes over, but not before it is told to."""

    def __init__(self):
        self.began, self.go, self.built = Event(), Event(), 0

    def after(self, *given):
        self.built += 1
        self.began.set()
        assert self.go.wait(SECONDS)
        return AFTER(*given)


@pytest.fixture
def slow(office, monkeypatch):
    """A program that was asked once, and how the next changes are held up."""
    program = Delegator(office, HashedWords())
    program(TASK)
    builder = SlowChange()
    monkeypatch.setattr(State, "after", lambda *given: builder.after(*given))
    return program, builder


def while_building(program, builder, ask):
    """Return what is asked while another task builds, and that task's delegation."""
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(program, TASK)
        assert builder.began.wait(SECONDS)
        try:
            seen = pool.submit(ask).result(SECONDS)
        finally:
            builder.go.set()
        return seen, first.result(SECONDS)


def names(delegation):
    return {candidate.name for candidate in delegation.top3}


def test_who_builds_sees_the_change_and_nobody_else_waits(slow):
    program, builder = slow
    before = program(TASK)
    program.registry.add(make_agent("Order Refunder", TASK, TASK))
    seen, built = while_building(program, builder, lambda: program(TASK))
    assert seen.copy(usage=before.usage) == before
    assert built.agent == program(TASK).agent == "Order Refunder"
    assert builder.built == 1


def test_a_removed_agent_is_not_named_while_the_index_is_built(slow):
    program, builder = slow
    gone = program(TASK).agent
    program.registry.remove(gone)
    seen, built = while_building(program, builder, lambda: program(f"{gone}: {TASK}"))
    assert len(names(seen)) == 3
    assert gone not in names(seen) | names(built)
    assert gone not in seen.evidence.mentions


def test_who_loses_the_right_to_an_agent_waits(slow):
    program, builder = slow
    builder.go.set()
    program(TASK, permissions=["other"])
    builder.go.clear()
    builder.began.clear()
    agent = next(a for a in program.registry if not a.required_permissions)
    closed = agent.model_copy(update={"required_permissions": frozenset({"board"})})
    program.registry.replace(closed)
    caller = program.retrieve.library
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(caller.permitted, {}, ["other"])
        assert builder.began.wait(SECONDS)
        second = pool.submit(caller.permitted, {}, ["other"])
        builder.go.set()
        for index in (first.result(SECONDS), second.result(SECONDS)):
            assert agent.name not in index.names


def test_who_asks_while_the_second_change_is_taken_over_sees_the_first(slow):
    program, builder = slow
    program.registry.add(make_agent("Order Refunder", TASK, TASK))

    def change_again():
        program.registry.add(make_agent("Choir", "sings in the evening"))
        return names(program(TASK))

    seen, built = while_building(program, builder, change_again)
    assert not seen & {"Order Refunder", "Choir"}
    assert "Order Refunder" in names(built)
    assert "Choir" in program.retrieve.library.permitted({}, None).names


def ended(program):
    """Wait until a change is taken over in the background."""
    while program.retrieve.library._building:
        sleep(0.01)


def test_no_task_waits_for_a_change_of_many_agents(slow, monkeypatch):
    monkeypatch.setattr(index_cache, "_LARGE", 0)
    program, builder = slow
    before = program(TASK)
    gone = before.top3[1].name
    program.registry.add(make_agent("Order Refunder", TASK, TASK))
    program.registry.remove(gone)
    assert program(TASK).agent == before.agent
    assert not names(program(TASK)) & {gone, "Order Refunder"}
    builder.go.set()
    ended(program)
    assert program(TASK).agent == "Order Refunder"
    assert builder.built == 1


def test_a_change_of_many_that_fails_is_told_and_tried_again(slow, monkeypatch, caplog):
    monkeypatch.setattr(index_cache, "_LARGE", 0)
    program, _ = slow
    before = program(TASK).agent
    monkeypatch.setattr(State, "after", None)
    program.registry.add(make_agent("Order Refunder", TASK, TASK))
    assert program(TASK).agent == before
    ended(program)
    assert "still serves" in caplog.text
    monkeypatch.setattr(State, "after", AFTER)
    program(TASK)
    ended(program)
    assert program(TASK).agent == "Order Refunder"


def test_readers_and_a_writer_a_removed_agent_is_never_named(office):
    """A call that starts after ``remove`` returned never names the agent."""
    library = Delegator(office, HashedWords()).retrieve.library
    library.index({})
    gone, ended, wrong = set(), Event(), []

    def read(permissions):
        while not ended.is_set():
            removed = frozenset(gone)
            index = library.permitted({}, permissions)
            assert index is not None
            shown = {n for i, n in enumerate(index.names) if i not in set(index.hidden.tolist())}
            wrong.extend(shown & removed)

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read, [["hr.pay"], [], None][n % 3]) for n in range(6)]
        try:
            for n in range(60):
                office.add(make_agent(f"Guest {n}", f"does work {n}", f"please do work {n}"))
                library.permitted({}, None)
                office.remove(f"Guest {n}")
                gone.add(f"Guest {n}")
        finally:
            ended.set()
        for reader in readers:
            reader.result(SECONDS)
    assert wrong == []


def test_a_change_that_fails_leaves_the_last_state_and_is_tried_again(office):
    class Failing(HashedWords):
        fails = False

        def encode(self, texts):
            if self.fails:
                raise OSError("no connection")
            return super().encode(texts)

    embed = Failing()
    program = Delegator(office, embed)
    before = program(TASK)
    office.add(make_agent("Order Refunder", TASK, TASK))
    embed.fails = True
    with pytest.raises(OSError, match="no connection"):
        program(TASK)
    embed.fails = False
    assert before.agent != program(TASK).agent == "Order Refunder"
