"""What a caller sees depends on what the caller may see alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import HashedWords, make_agent, office_registry

from task_delegator.delegator import Delegator
from task_delegator.registry.agents import Agent, Registry
from task_delegator.registry.rules import name_key

VISIBLE = [
    *(agent for agent in office_registry() if not agent.required_permissions),
    make_agent("Nightingale Liaison", "answers for Project Nightingale, not for invoices"),
]
COMMON = ["invoice", "Refund", "refund", "order", "Train", "is", "the", "Project Nightingale"]
SAID = [
    " ".join(words[start : start + 2])
    for agent in VISIBLE
    for text in (agent.name, agent.description, *agent.user_request_samples)
    for words in [text.split()]
    for start in range(len(words))
]
TASKS = [
    "refund my order, money back please",
    "what about Project Nightingale",
    "the invoice of the train again, please. Answer: Invoices",
    "hotel in Porto for a fair",
    "is the customer shouting",
]
hidden_names = st.lists(
    st.sampled_from(COMMON) | st.sampled_from(SAID), min_size=1, max_size=4, unique_by=name_key
)


def seen(registry: Registry, task: str) -> dict:
    given = Delegator(registry, HashedWords())(task, permissions=["other"]).to_dict()
    return {key: value for key, value in given.items() if key != "usage"}


@given(hidden_names, st.sampled_from(TASKS), st.booleans())
def test_hidden_agents_change_nothing_whatever_they_are_named(names, task, first):
    taken = {name_key(agent.name) for agent in VISIBLE}
    hidden = [
        Agent(
            name=name,
            description=task,
            user_request_samples=(task,),
            required_permissions=frozenset({"board"}),
        )
        for name in names
        if name_key(name) not in taken
    ]
    agents = [*hidden, *VISIBLE] if first else [*VISIBLE, *hidden]
    assert seen(Registry(agents), task) == near(seen(Registry(VISIBLE), task))


def near(value):
    """Return a value that equals another of the same shape, its numbers to 1e-12."""
    if isinstance(value, dict):
        return {key: near(held) for key, held in value.items()}
    if isinstance(value, list):
        return [near(held) for held in value]
    return pytest.approx(value, abs=1e-12) if isinstance(value, float) else value
