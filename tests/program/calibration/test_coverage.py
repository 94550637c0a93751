"""For which callers a calibration speaks."""

from small import make_agent

from task_delegator.calibration.coverage import ENOUGH_AGENTS, CalibratedAgents
from task_delegator.registry.agents import Registry

MANY = Registry(
    [make_agent(f"Open {i}", needs=() if i < ENOUGH_AGENTS else ("more",)) for i in range(30)]
)
DIGESTS = frozenset(agent.digest() for agent in MANY)


def test_a_caller_with_few_of_many_agents_is_not_covered():
    assert CalibratedAgents(DIGESTS).cover(MANY, None)
    assert CalibratedAgents(DIGESTS).cover(MANY, [])
    for few in (1, 2, 3, 5):
        left = Registry(list(MANY)[:few])
        assert not CalibratedAgents(DIGESTS).cover(left, None)


def test_a_small_registry_that_was_calibrated_as_a_whole_is_covered():
    small = Registry([make_agent(name) for name in "ABCDE"])
    assert CalibratedAgents(frozenset(agent.digest() for agent in small)).cover(small, None)


def test_an_agent_that_is_new_or_changed_is_not_covered():
    grown = Registry([*MANY, make_agent("New")])
    assert not CalibratedAgents(DIGESTS).cover(grown, None)
    grown.remove("New")
    assert CalibratedAgents(DIGESTS).cover(grown, None)


def test_who_may_use_nobody_is_told_so():
    closed = Registry([make_agent("Closed", needs=("x",))])
    assert CalibratedAgents(frozenset()).cover(closed, [])
