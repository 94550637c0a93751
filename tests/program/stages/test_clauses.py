"""A statement behind an "and" is a clause: it asks by what it says."""

import pytest

from task_delegator.stages.clauses import clauses, phrase_cuts


@pytest.mark.parametrize(
    ("task", "parts"),
    [
        (
            "I need a copy of my certificate, and my trash was not picked up.",
            ["I need a copy of my certificate,", "and my trash was not picked up."],
        ),
        ("Book the flight, and the hotel that is nearest to it.", None),
        ("Pay the invoice for the bin that was broken and emptied.", None),
    ],
)
def test_a_statement_behind_an_and_is_a_clause_of_its_own(task, parts):
    assert clauses(task) == (parts or [task])


def test_a_statement_takes_no_words_of_what_stands_before():
    cuts = phrase_cuts("I need a copy of my certificate, and my trash was not picked up.")
    assert cuts == [("I need a copy of my certificate", "my trash was not picked up.")]
    assert phrase_cuts("book a flight and a hotel") == [("book a flight", "book a hotel")]
