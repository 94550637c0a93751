"""The table of what was measured again: each row measures what it says, on a small program."""

import os
import socket
from argparse import Namespace

import pytest
from small import HashedWords

from optimize import benchmark_table as table
from optimize.benchmark import Rate
from task_delegator.delegator import Delegator


@pytest.fixture
def program(office):
    return Delegator(office, HashedWords(), calibrated_for=frozenset())


def test_a_silent_server_counts_who_comes():
    with table.silent_server() as (address, held):
        host, port = address.removeprefix("http://").removesuffix("/v1").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        assert len(held) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_children_that_end_are_counted(program, monkeypatch):
    monkeypatch.setattr(table, "_CHILDREN", 3)
    assert table.forked(program) == 3


def test_the_calibration_is_asked_while_agents_change(program):
    before = len(program.registry)
    errors, calls = table.calibrated_calls(program, seconds=0.2)
    assert (errors, len(program.registry)) == (0, before)
    assert calls > 0


@pytest.mark.slow
def test_threads_are_timed_alone_together_and_beside_changes(program, monkeypatch):
    monkeypatch.setattr(table, "_SECONDS", 1)
    monkeypatch.setattr(table, "THREADS", 2)
    ratio = Rate(0.9, 0.95)
    monkeypatch.setattr(table, "beside_changes", lambda delegate, texts: ratio)
    monkeypatch.setattr(table, "served", lambda options: (program, ["refund my order"]))
    assert len(table.threads(Namespace())) == 2
