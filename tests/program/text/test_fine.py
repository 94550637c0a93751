"""What a task says is fine is not what it is about."""

import pytest

from task_delegator.text import without_fine


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("The printer works, but the window is broken", "the window is broken"),
        ("The invoice is correct, but my laptop is broken", "my laptop is broken"),
        ("The invoice is correct but my laptop is broken", "my laptop is broken"),
        ("My laptop works again, but the heating is cold", "the heating is cold"),
        ("Hello. The room is booked; however, I am ill now.", "Hello. I am ill now."),
        # it is not so
        ("Nothing is damaged, it is just late", "it is just late"),
        ("The goods aren't damaged, they just haven't come", "they just haven't come"),
        ("Nobody stole it. I only need a new card", "I only need a new card"),
        ("Please do not hurry, but call me", None),
        ("My card does not work", None),
        # it says something else
        ("If the invoice is correct, but my laptop is broken, call me", None),
        ("Explain how our REST API works, but not for whom", None),
        ("Nothing works, but I have tried it all", None),
        ("Make sure that the invoice is correct, but do not pay it", None),
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
