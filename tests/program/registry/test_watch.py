"""A registry follows its file: whole states, and the last good one where an edit is broken."""

import json
import logging
import time

import pytest
from small import office_registry

from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry, Watch
from task_delegator.system import atomic_write

SOON = 0.01


def until(holds) -> bool:
    for _ in range(1000):
        if holds():
            return True
        time.sleep(SOON)
    return False


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "agents.json"
    office_registry().save(path)
    return path


def test_a_changed_file_changes_the_agents_at_once(path):
    registry = Registry.load(path)
    with registry.watch(path, seconds=SOON):
        Registry([Agent(name="Alone")]).save(path)
        assert until(lambda: [agent.name for agent in registry] == ["Alone"])
    version = registry.version
    office_registry().save(path)
    time.sleep(10 * SOON)
    assert registry.version == version  # closed


@pytest.mark.parametrize("content", ['[{"name": "A"', "[]", '[{"name": "A"}, {"name": "a"}]'])
@pytest.mark.fault("broken edit", "`watch`", holds="The last good agents serve; one warning.")
def test_a_broken_edit_keeps_the_last_good_agents_and_is_told_once(path, caplog, content):
    registry = Registry.load(path)
    names = [agent.name for agent in registry]
    with caplog.at_level(logging.WARNING), Watch(registry, path, seconds=SOON):
        atomic_write(path, content)  # else it may be read while it is empty, and told twice
        assert until(lambda: "stay as they were" in caplog.text)
        time.sleep(10 * SOON)
        assert [agent.name for agent in registry] == names
        assert caplog.text.count("stay as they were") == 1
        path.write_text(json.dumps([{"name": "Mended"}]))
        assert until(lambda: [agent.name for agent in registry] == ["Mended"])


@pytest.mark.fault("broken edit", "`watch`, no file", holds="The last good agents serve.")
def test_a_file_that_is_away_for_a_while_changes_nothing(path, tmp_path):
    registry = Registry.load(path)
    with Watch(registry, path, seconds=SOON):
        path.rename(tmp_path / "away.json")
        time.sleep(10 * SOON)
        assert len(registry) == len(office_registry())
        Registry([Agent(name="Back")]).save(path)
        assert until(lambda: len(registry) == 1)


def test_a_swap_of_the_same_agents_is_no_change(path):
    registry = Registry.load(path)
    registry.swap(list(registry))
    assert registry.version == 0
    with pytest.raises(InputError, match="two agents"):
        registry.swap([Agent(name="A"), Agent(name="A")])
    assert len(registry) == len(office_registry())
