"""Agents that change: copies that nobody checked, and what of a change concerns a confidence."""

import pytest

from task_delegator.calibration import CalibratedAgents
from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry

DESK = Agent(name="Desk", description="pays money back", required_permissions=frozenset({"pay"}))


def copied(**fields: object) -> Agent:
    """Return a copy, which pydantic does not check."""
    return DESK.model_copy(update=fields)


@pytest.mark.parametrize("how", ["new", "added", "replaced", "swapped"])
def test_permissions_of_a_copy_may_be_any_set(how):
    agent = copied(required_permissions={"pay", "look"})
    registry = Registry([agent] if how == "new" else [Agent(name="Other")])
    if how == "added":
        registry.add(agent)
    elif how == "replaced":
        registry.add(DESK)
        registry.replace(agent)
    elif how == "swapped":
        registry.swap([agent])
    held = registry["Desk"]
    assert held.required_permissions == frozenset({"pay", "look"})
    assert not held.permits(["pay"])
    hash(held.required_permissions)


@pytest.mark.parametrize(
    "fields",
    [
        {"required_permissions": "pay"},
        {"required_permissions": None},
        {"description": None},
        {"user_request_samples": ("a" * 30_000,)},
        {"name": "two\nlines"},
    ],
)
def test_a_copy_that_is_no_agent_is_refused_and_changes_nothing(fields):
    registry = Registry([DESK])
    for change in (registry.add, registry.replace):
        with pytest.raises(InputError, match=r"^agent |no agent is named"):
            change(copied(**fields))
    assert list(registry) == [DESK]


def test_an_agent_that_is_right_is_held_as_it_is():
    registry = Registry()
    registry.add(DESK)
    assert registry["Desk"] is DESK


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({"domain": "finance"}, True),
        ({"kind": "human"}, True),
        ({"required_permissions": frozenset({"look"})}, True),
        ({"description": "books trains"}, False),
        ({"use_when": "money is asked back"}, False),
        ({"do_not_use_when": "a train is asked for"}, False),
        ({"user_request_samples": ("pay me back",)}, False),
        ({"instructions": "Be kind."}, False),
        ({"tools": ("pay",)}, False),
    ],
)
@pytest.mark.parametrize("digest", [Agent.digest, Agent.reading_digest])
def test_a_confidence_holds_until_what_tasks_are_compared_with_changes(fields, known, digest):
    """Digests of all fields, as older programs hold them, hold as well until one changes."""
    calibrated = CalibratedAgents(frozenset({digest(DESK)}))
    assert calibrated.cover(Registry([DESK]), None)
    expected = known and digest is Agent.reading_digest
    assert calibrated.cover(Registry([copied(**fields)]), None) == expected
