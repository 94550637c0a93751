"""What a task says is fine is not what it is about."""

import pytest

from task_delegator.text import without_fine


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("The printer works, but the window is broken", "the window is broken"),
        ("The invoice is correct, but my laptop is broken", "my laptop is broken"),
        ("The invoice is correct but my laptop is broken", "my laptop is broken"),
        ("The flight is fine, I need a desk in the office", "I need a desk in the office"),
        ("My laptop works again, only the heating is cold", "only the heating is cold"),
        ("Hello. The room is booked; however, I am ill now.", "Hello. I am ill now."),
        # nothing is fine, or hardly anything else is said
        ("Is the invoice correct? I need it now", None),
        ("My bank works only on Mondays and I need cash", None),
        ("The window is broken, but I am fine", None),
        ("The hotel is fine, but expensive", None),
        ("", None),
    ],
)
def test_a_clause_that_says_something_is_fine_is_left_out(text, left):
    assert without_fine(text) == left
