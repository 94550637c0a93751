"""A dead LM is left alone for a while, and asked again."""

import os

import pytest

from task_delegator.lm.circuit import Circuit, circuit, forget_circuits
from task_delegator.lm.faults import LMPausedError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def is_open(breaker: Circuit) -> bool:
    try:
        breaker.admit("test/model")
    except LMPausedError:
        return True
    return False


@pytest.mark.parametrize("fault", ["time-out", "unreachable"])
def test_a_time_out_or_a_lost_connection_pauses_at_once(clock, fault):
    breaker = Circuit(clock)
    breaker.fail(fault)
    assert is_open(breaker)


def test_a_call_that_had_no_time_pauses_nothing(clock):
    breaker = Circuit(clock)
    breaker.fail("time-out", sure=False)
    assert not is_open(breaker)


def test_other_failures_pause_when_they_come_in_a_row(clock):
    breaker = Circuit(clock)
    for _ in range(2):
        breaker.fail("server error")
        breaker.fail("server error")
        assert not is_open(breaker)
        breaker.succeed()
    for _ in range(3):
        breaker.fail("server error")
    with pytest.raises(LMPausedError, match="30 s, as it failed before: server error"):
        breaker.admit("test/model")


def test_one_call_is_let_through_after_the_pause_and_its_answer_ends_it(clock):
    breaker = Circuit(clock)
    breaker.fail("time-out")
    clock.now += 31
    assert [is_open(breaker) for _ in range(3)] == [False, True, True]
    breaker.succeed()
    assert not is_open(breaker)
    assert not is_open(breaker)


def test_a_probe_that_fails_doubles_the_pause_up_to_five_minutes(clock):
    breaker = Circuit(clock)
    breaker.fail("time-out")
    for pause in (30, 60, 120, 240, 300, 300):
        clock.now += pause - 1
        assert is_open(breaker)
        clock.now += 2
        assert not is_open(breaker)
        breaker.fail("server error")
    breaker.succeed()
    breaker.fail("time-out")
    clock.now += 31
    assert not is_open(breaker)


def test_calls_from_before_the_pause_do_not_lengthen_it(clock):
    breaker = Circuit(clock)
    for _ in range(8):  # all were on their way
        breaker.fail("time-out")
    clock.now += 31
    assert not is_open(breaker)


def test_a_probe_that_never_comes_back_holds_nobody(clock):
    breaker = Circuit(clock)
    breaker.fail("time-out")
    clock.now += 31
    assert not is_open(breaker)
    clock.now += 31
    assert not is_open(breaker)


def test_an_lm_is_left_alone_as_long_as_it_asks_but_no_longer_than_five_minutes(clock):
    for asked, kept in ((2.0, 2), (7200.0, 300)):
        breaker = Circuit(clock)
        breaker.fail("rate limit", asked=asked)
        clock.now += kept - 1
        assert is_open(breaker)
        clock.now += 2
        assert not is_open(breaker)


def test_each_lm_has_one_circuit_and_few_are_kept():
    assert circuit("a") is circuit("a")
    assert circuit("a") is not circuit("b")
    circuit("a").fail("time-out")
    for number in range(300):
        circuit(number)
    assert not is_open(circuit("a"))
    forget_circuits()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_asks_anew():
    circuit("forked").fail("time-out")
    child = os.fork()
    if child == 0:
        os._exit(int(is_open(circuit("forked"))))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert is_open(circuit("forked"))
    forget_circuits()
