"""A registry follows its file: whole states, and the last good one where an edit is broken."""

import json
import logging
import time

import pytest
from small import office_registry

from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry, Watch, stamps, watch
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


def test_the_enrichment_beside_a_file_is_followed_with_it(path):
    samples = {"Travel": {"user_request_samples": ["book me a flight"]}}
    beside = path.with_name("enrichment.json")
    beside.write_text(json.dumps({"agents": samples}))
    registry = Registry.load(path)
    with registry.watch(path, seconds=SOON):
        registry.save(path)
        path.touch()
        assert until(lambda: "book me a flight" in registry["Travel"].user_request_samples)
        samples["Travel"]["user_request_samples"].append("a hotel, too")
        beside.write_text(json.dumps({"agents": samples}))
        assert until(lambda: "a hotel, too" in registry["Travel"].user_request_samples)


def test_a_file_of_a_folder_that_is_edited_in_its_place_is_followed(path, tmp_path):
    folder = tmp_path / "cards" / "deep"
    folder.mkdir(parents=True)
    card = folder / "one.json"
    card.write_text('[{"name": "One", "description": "first"}]')
    registry = Registry.load(tmp_path / "cards")
    with registry.watch(tmp_path / "cards", seconds=SOON):
        card.write_text('[{"name": "One", "description": "other"}]')
        assert until(lambda: registry["One"].description == "other")


def test_who_follows_goes_on_whatever_a_reader_raises(path, caplog):
    registry, states = Registry.load(path), iter([ValueError("of a reader"), Registry.load(path)])

    def read():
        state = next(states, Registry([Agent(name="Alone")]))
        if isinstance(state, ValueError):
            raise state
        return state

    looks = iter(range(10_000))
    with Watch(registry, path, read, SOON, stamp=lambda: next(looks), settles=False):
        assert until(lambda: [agent.name for agent in registry] == ["Alone"])
    assert "of a reader" in caplog.text


def test_agents_that_a_swap_leaves_as_they_are_stay_the_same_objects(path):
    registry = Registry.load(path)
    before = {agent.name: agent for agent in registry}
    registry.swap([*Registry.load(path), Agent(name="New")])
    assert len(registry) == len(before) + 1
    assert all(registry[name] is agent for name, agent in before.items())


def test_a_change_before_the_first_look_is_taken_over(path):
    seen, registry = stamps(path), Registry.load(path)
    Registry([Agent(name="Alone")]).save(path)
    with Watch(registry, path, seconds=SOON, seen=seen):
        assert until(lambda: [agent.name for agent in registry] == ["Alone"])


def test_who_is_removed_is_gone_though_the_enrichment_names_it(path, caplog):
    beside = path.with_name("enrichment.json")
    beside.write_text(json.dumps({"agents": {"Travel": {"use_when": "trips"}}}))
    registry = Registry.load(path)
    with registry.watch(path, seconds=SOON):
        path.touch()
        assert until(lambda: registry["Travel"].use_when == "trips")
        Registry(agent for agent in Registry.load(path) if agent.name != "Travel").save(path)
        assert until(lambda: "Travel" not in registry)
    assert "additions to agents that are gone are left out: 1" in caplog.text


def test_a_file_that_could_not_be_read_is_read_again(path, monkeypatch):
    monkeypatch.setattr(watch, "_AGAIN_SECONDS", 2 * SOON)
    registry, states = Registry.load(path), iter([InputError("too many open files")])

    def read():
        if (error := next(states, None)) is not None:
            raise error
        return Registry([Agent(name="Alone")])

    with Watch(registry, path, read, SOON, stamp=lambda: "the same", seen="another"):
        assert until(lambda: [agent.name for agent in registry] == ["Alone"])


@pytest.mark.fault("half-written file", "`watch`", holds="Taken over when it is still.")
def test_a_file_that_is_still_written_is_not_read(path):
    states, looked, read_at = iter(range(1, 6)), [], []

    def stamp():
        looked.append(next(states, 6))
        return looked[-1]

    def read():
        read_at.append(looked[-1])
        return Registry([Agent(name="Whole")])

    registry = Registry.load(path)
    with Watch(registry, path, read, SOON, stamp=stamp, seen=0):
        assert until(lambda: [agent.name for agent in registry] == ["Whole"])
    assert read_at == [6]


@pytest.mark.fault("half-written file", "`watch`, while it is read", holds="Read again.")
@pytest.mark.parametrize("restored", [False, True])
def test_what_changed_while_it_was_read_is_not_taken_over(path, restored):
    registry, state, taken = Registry.load(path), ["before"], []
    names = iter(["Torn", "Whole"])

    def stamp():
        taken.append([agent.name for agent in registry])
        now = state[-1]
        if restored and now == "moved":  # as a file that was away for a moment
            state.append("after")
        return now

    def read():
        name = next(names, "Whole")
        state.append("moved" if name == "Torn" else "after")
        return Registry([Agent(name=name)])

    with Watch(registry, path, read, SOON, stamp=stamp, seen="before"):
        state.append("after")
        assert until(lambda: [agent.name for agent in registry] == ["Whole"])
    assert ["Torn"] not in taken
