"""Which of a caller's agents a calibration does not know, and what that does to their tasks."""

import pytest
from small import ROOT, make_agent

from task_delegator.artifact import load
from task_delegator.calibration import CalibratedAgents
from task_delegator.registry import Agent, Registry

TASK = "Please give me my money back for the double charge"


def registry_of(number: int, *others: Agent) -> Registry:
    return Registry([*(make_agent(f"a{i}", f"does {i}") for i in range(number)), *others])


def known() -> CalibratedAgents:
    return CalibratedAgents(frozenset(agent.digest() for agent in registry_of(20)))


def ours() -> Registry:
    """Return the agents that the shipped program was calibrated for."""
    return load("default", ROOT / "datasets" / "agents.json").registry


@pytest.mark.parametrize(
    ("registry", "strangers"),
    [
        (registry_of(20), set()),
        (registry_of(18), set()),
        (registry_of(20, make_agent("new", "x")), {"new"}),
        (registry_of(19, make_agent("a19", "does another thing")), {"a19"}),
        (registry_of(18, make_agent("new", "x"), make_agent("newer", "x")), {"new", "newer"}),
        (registry_of(17, *(make_agent(f"new {i}", "x") for i in range(2))), None),  # 2 of 19
        (registry_of(9), None),
        (registry_of(8, make_agent("new", "x")), None),
    ],
)
def test_one_agent_in_ten_may_be_new_or_changed(registry, strangers):
    calibrated_for = known()
    assert calibrated_for.strangers(registry, None) == strangers
    assert calibrated_for.cover(registry, None) == (strangers == set())


def test_of_far_more_agents_than_are_known_none_is_looked_at(monkeypatch):
    calibrated_for, registry = known(), registry_of(23)
    monkeypatch.setattr(Agent, "reading_digest", lambda _: pytest.fail("it was looked at"))
    assert calibrated_for.strangers(registry, None) is None
    with pytest.raises(pytest.fail.Exception, match="looked at"):
        calibrated_for.strangers(registry_of(22), None)


def test_agents_that_a_caller_may_not_use_are_no_strangers():
    secret = Agent(name="secret", required_permissions=frozenset({"hr"}))
    registry, calibrated_for = registry_of(20, secret), known()
    assert calibrated_for.strangers(registry, []) == set()
    assert calibrated_for.strangers(registry, ["hr"]) == {"secret"}


def test_a_calibration_for_any_agents_has_no_strangers():
    assert CalibratedAgents(None).strangers(registry_of(1), None) == set()


@pytest.mark.slow
def test_only_tasks_that_may_be_for_a_changed_agent_are_no_longer_assigned(caplog):
    agents = ours()
    changed = agents["Refund Desk"]
    other = min(a.name for a in agents if a.domain != changed.domain)
    agents.replace(agents[other].model_copy(update={"use_when": "It is a Monday."}))
    program = load("default", agents)
    assert not program.calibrated()
    said = program(TASK)
    assert (said.decision, said.evidence.calibrated_by) == ("assign", "labels")
    assert said.evidence.calibrated
    assert f"1 of 70 agents are new or changed ({other})" in caplog.text
    agents.replace(changed.model_copy(update={"use_when": "It is a Monday."}))
    (said,) = program.delegate_many([TASK])
    assert said.decision == "review"
    assert not said.evidence.calibrated
    assert "an agent that may be meant is new or has changed since" in said.reason
    assert program(TASK).reason == said.reason
    agents.add(make_agent("Money Desk", "Pays money out to customers."))
    agents.replace(changed)
    said = program(TASK)  # it may be for the new one
    assert (said.decision, said.agent) == ("review", "Refund Desk")


@pytest.mark.slow
def test_a_plan_has_the_steps_that_its_delegation_speaks_of():
    agents = ours()
    agents.add(make_agent("Beekeeper", "Looks after bees."))
    program = load("default", agents)
    task = "Collect the swarm of bees in our garden and then refund my double charge"
    assert (program(task).several or 0.0) > 0.9
    plan = program.plan(task)
    assert [step.delegation.agent for step in plan.steps] == ["Beekeeper", "Refund Desk"]


@pytest.mark.slow
def test_what_may_be_for_a_changed_agent_has_the_confidence_of_other_registries():
    agents = ours()
    agents.replace(agents["Refund Desk"].model_copy(update={"use_when": "It is a Monday."}))
    program = load("default", agents, calibrate="transfer")
    by = [program(task).evidence.calibrated_by for task in (TASK, "Plan my trip to Rome in May")]
    assert by == ["registries", "labels"]


def test_what_is_known_of_a_registry_is_not_said_of_another():
    known, others = Registry([make_agent("Known")]), Registry([make_agent("Other")])
    calibrated = CalibratedAgents(frozenset(agent.digest() for agent in known))
    assert [calibrated.cover(each, None) for each in (known, others, known)] == [True, False, True]
