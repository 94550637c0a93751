"""The chain of prompts and the place in them, asked of an LM that reads nothing but places."""

from dataclasses import dataclass

import pytest

from experiments.studies import order, prompting
from experiments.support.llm_answers import Answer, prompt
from task_delegator.registry.agents import Agent


@dataclass
class TakesTheFirst:
    """An LM that answers with the agents that stand first."""

    label: str = "takes the first"
    shuffles: int = 2

    def __call__(self, task, agents, samples=False) -> Answer:
        return Answer(tuple(agent.name for agent in agents[:3]), 100, 1.0)


@pytest.fixture(scope="module")
def ways():
    dataset, requests, split = prompting.choose_requests(quick=True)
    assert split == "validation"
    return {way.name: way for way in prompting.ask(TakesTheFirst(), dataset, requests)}  # type: ignore[arg-type]


def test_every_way_is_asked_about_the_same_requests(ways):
    assert len(ways) == 4
    assert len({prompted.requests for prompted in ways.values()}) == 1
    assert {len(prompted.answers) for prompted in ways.values()} == {3}
    assert {len(shown) for shown in ways["shortlist"].shown} == {5}


def test_shuffled_each_request_sees_one_of_the_orders_in_turn(ways):
    shuffled = ways["all agents, shuffled"]
    assert shuffled.orders == 2
    assert shuffled.shown[0] == shuffled.shown[2] != shuffled.shown[1]
    assert len(set(ways["all agents"].shown)) == 1
    assert all(set(shown) == set(ways["all agents"].shown[0]) for shown in shuffled.shown)


def test_rows_compare_the_ways_in_pairs(monkeypatch):
    for module in (prompting, order):
        monkeypatch.setattr(module, "language_models", lambda quick: [TakesTheFirst()])
    rows = {row["way"]: row for row in prompting.run(quick=True) if row["lm"] != "none"}
    assert rows["all agents"]["versus_all_agents"]["difference"] == 0
    assert rows["all agents"]["named_most"] == rows["all agents"]["right_agent_shown"] == 1
    assert rows["all agents"]["top1"] <= rows["all agents"]["right_domain"]
    gained = rows["shortlist"]["versus_all_agents"]
    assert -1 <= gained["ci95"][0] <= gained["difference"] <= gained["ci95"][1] <= 1
    # It takes the first place, which is the program's.
    assert rows["shortlist"]["program_versus"]["difference"] == 0
    assert rows["shortlist and samples"]["versus_shortlist"]["p"] == 1
    # So it is right wherever a right agent is first, and nowhere else.
    first, later = (rows["shortlist"][f"right_listed_{place}"] for place in ("first", "later"))
    assert first["right"] == first["n"] == rows["shortlist"]["top1"] * 3
    assert later["right"] == 0
    found = {row["what"]: row for row in order.run(quick=True)}
    assert found["picks from the first tenth of a shuffled list"]["rate"] == 1
    assert found["picks the first place of the shortlist"]["rate"] == 1
    assert found["pick differs over 2 orders"]["n"] == 3
    assert found["pick differs over 2 orders"]["lm_calls_per_task"] == 2
    assert found["this program's ranking differs over 3 orders"]["rate"] == 0


def test_the_agents_stand_before_the_task_so_that_a_prefix_is_shared():
    agents = [Agent(name="A", description="does\na", user_request_samples=("do a",))]
    (before, task), (other, _) = prompt("x", agents, True), prompt("y", agents, True)
    assert before == other
    assert "do a" in before["content"]
    assert "does a" in before["content"]
    assert task["content"].endswith('{"top1": name, "top2": name, "top3": name}.')
    assert "Task: x" in task["content"]
