"""What of an agent's name is shown, and what is embedded and searched."""

import pytest
from small import HashedWords

from task_delegator.delegator import Delegator
from task_delegator.registry import Agent, Registry, description_text, readable, searched_name


@pytest.mark.parametrize(
    ("name", "shown", "searched"),
    [
        ("cancel_order", "cancel order", "cancel order"),
        ("cancelOrder", "cancel Order", "cancel Order"),
        ("RefundDesk", "RefundDesk", "Refund Desk (RefundDesk)"),
        ("GitHub", "GitHub", "Git Hub (GitHub)"),
        ("iPhone", "iPhone", "i Phone (iPhone)"),
        ("Refund Desk", "Refund Desk", "Refund Desk"),
    ],
)
def test_a_name_of_its_own_is_shown_as_it_is_and_found_by_its_words(name, shown, searched):
    assert readable(name) == shown
    assert searched_name(name) == searched
    assert description_text(Agent(name=name)) == searched


@pytest.mark.parametrize("style", ["{0}_{1}", "{0}{1}", "{2}{1}"])
def test_agents_with_names_alone_are_found_however_these_join_words(style):
    pairs = [("cancel", "order"), ("refund", "payment"), ("book", "hotel"), ("reset", "password")]
    joined = {
        f"{verb} {noun}": style.format(
            verb, noun if "_" in style else noun.capitalize(), verb.capitalize()
        )
        for verb, noun in pairs
    }
    program = Delegator(Registry([Agent(name=name) for name in joined.values()]), HashedWords())
    for words, name in joined.items():
        task = f"please {words.split()[0]} my {words.split()[1]}"
        assert program(task).top3[0].name == name
        assert program(task).ranking[0].probability > program(task).ranking[1].probability


def test_agents_of_one_spelling_are_ranked_alike_whoever_else_is_hidden():
    def ask(hidden: int) -> list[float]:
        twins = [
            Agent(name=name, description="Looks a user up.") for name in ("get user", "get_user")
        ]
        others = [
            Agent(name=f"x {n}", description="y", required_permissions=frozenset({"z"}))
            for n in range(hidden)
        ]
        program = Delegator(Registry([*twins, *others]), HashedWords())
        return [c.probability for c in program("look up the user", permissions=[]).ranking]

    assert ask(0) == ask(3) == [0.5, 0.5]
