import json

import pytest
from small import ROOT, HashedWords, make_agent

from task_delegator.delegator import Delegator
from task_delegator.registry import Registry
from task_delegator.text import opposite_operation


@pytest.mark.parametrize(
    ("task", "name", "verbs"),
    [
        ("create an account for me", "delete_account", ("create", "delete")),
        ("I'd like to sign my sister up", "Account deletion", ("sign up", "delete")),
        ("Please turn it off again", "enableTwoFactor", ("turn off", "enable")),
        ("I want to leave the newsletter", "newsletter-subscribe", ("leave", "subscribe")),
        ("add the intern to the group", "Remove member", ("add", "remove")),
        ("unlock my card", "Lock card", ("unlock", "lock")),
        ("cancel my booking of room 204", "book_room", ("cancel", "book")),
        ("Unbook room 204", "bookRoom", ("unbook", "book")),
        ("withdraw my ethics submission", "ethics_review_submit", ("withdraw", "submit")),
    ],
)
def test_what_undoes_the_operation_of_a_name_is_found_in_any_form(task, name, verbs):
    assert opposite_operation(task, name, ()) == verbs


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("delete the account that I opened last year", "delete_account"),
        ("my account was created twice", "delete_account"),  # the past
        ("create an account, then delete the old one", "delete_account"),
        ("create an account", "create_or_delete_account"),
        ("create an account", "Accounts"),
        ("remove the license header", "Open Source Desk"),
        ("add my brother to the plan", "Leave Requests"),
        ("add my brother to the plan", "leave-requests"),
        ("cancel my subscription", "Book Club"),
        ("when do you close", "Opening Hours"),
        ("", "delete_account"),
        ("create an account", ""),
    ],
)
def test_what_is_past_or_said_with_its_opposite_undoes_nothing(task, name):
    assert opposite_operation(task, name, ()) is None


def test_an_agent_that_says_it_does_both_is_asked_for_neither():
    task, name = "create an account for me", "delete_account"
    assert opposite_operation(task, name, ["Creates and deletes accounts."]) is None
    assert opposite_operation(task, name, ["account creation, too"]) is None
    assert opposite_operation(task, name, ["This is not for creating one. It closes accounts."])
    assert opposite_operation(task, name, ["Deletes an account that was created by mistake."])


def office(**said):
    agents = [make_agent("delete_account", "closes an account"), make_agent("Travel", "trains")]
    changed = [agents[0].model_copy(update=said), agents[1]]
    program = Delegator(Registry(changed), HashedWords())
    program.knobs.set({"confidence.assign_threshold": 0.0, "scope.threshold": None})
    return program


def test_a_task_for_the_opposite_of_the_first_agent_is_reviewed():
    program = office()
    wrong, right = program("create an account"), program("close an account")
    assert (wrong.decision, wrong.evidence.opposite) == ("review", ("create", "delete"))
    assert "seems to ask to create, and delete_account is there to delete" in wrong.reason
    assert (right.agent, right.decision, right.evidence.opposite) == (
        "delete_account",
        "assign",
        None,
    )
    assert office(instructions="It creates accounts as well.")("create an account").agent


def test_hardly_a_request_seems_to_ask_for_the_opposite_of_its_own_agent():
    """Of 20,829 requests that were written for 3,472 agents."""
    asked = found = 0
    for name in ("registries", "encoder_registries"):
        lines = (ROOT / "datasets" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        for row in map(json.loads, lines):
            said = (row["description"], *row["samples"])
            asked += len(row["requests"])
            found += sum(
                opposite_operation(task, row["name"], said) is not None for task in row["requests"]
            )
    assert asked > 20_000
    assert found <= 5
