"""Names that say what is done: their words may be what a task is about."""

import pytest

from task_delegator.text.mentions import AgentMentions

NAMES = [
    *("Expense Reports", "Purchase Orders", "Building Permits", "Question About Business Tax"),
    *("Refund Desk", "Order Tracker", "Patient Letter", "Travel Desk"),
]


@pytest.mark.parametrize(
    "task",
    [
        "where do I hand in an expense report?",
        "who approves purchase orders above 5000?",
        "My building permit is late",
        "I have two expense reports from May",
        "a patient letter is missing",
    ],
)
def test_a_task_about_what_an_agent_is_named_by_is_read_with_these_words(task):
    assert AgentMentions(NAMES).strip_from(task) == (task, ())


@pytest.mark.parametrize(
    ("task", "name", "left"),
    [
        ("Expense Reports shall book a train", "Expense Reports", "shall book a train"),
        ("expense reports told me to book a train", "Expense Reports", "told me to book a train"),
        (
            "someone from purchase orders sent me here",
            "Purchase Orders",
            "someone from sent me here",
        ),
        (
            "give the box to the refund desk",
            "Refund Desk",
            "give the box to the",
        ),  # who does it, in any case
        ("my order tracker is late", "Order Tracker", "my is late"),
    ],
)
def test_an_agent_that_is_named_is_no_evidence(task, name, left):
    text, found = AgentMentions(NAMES).strip_from(task)
    assert (" ".join(text.split()), found) == (left, (name,))
