"""The benchmark of a living registry measures what it says, on a small one."""

import json
from argparse import Namespace

import pytest
from small import HashedWords

from optimize import benchmark_registry as benchmark
from task_delegator.delegator import Delegator


@pytest.fixture
def program(office):
    return Delegator(office, HashedWords(), calibrated_for=frozenset())


def test_changes_are_undone_and_timed_until_they_are_seen(program, monkeypatch):
    monkeypatch.setattr(benchmark, "_CHANGES", 2)
    before = {agent.name for agent in program.registry}
    spent = benchmark.changes(program)
    assert {agent.name for agent in program.registry} == before
    assert 0 < spent.milliseconds <= spent.most


def test_a_set_of_permissions_takes_time_and_memory(program, monkeypatch):
    monkeypatch.setattr(benchmark, "_SETS", 3)
    spent, memory = benchmark.sets(program)
    assert spent.milliseconds > 0
    assert memory > 0


def test_many_agents_come_from_a_file_or_are_put_together(program, tmp_path):
    path = tmp_path / "agents.json"
    options = Namespace(descriptions=str(path), agents=3)
    assert len(benchmark.large(options, program)) == 3
    path.write_text(json.dumps([{"name": n, "description": n, "tools": ["t"]} for n in "abcd"]))
    assert [agent.name for agent in benchmark.large(options, program)] == ["a", "b", "c"]
