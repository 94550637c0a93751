"""Where clauses meet: at a stop, a comma or an "and", and at words of sequence."""

import pytest

from task_delegator.stages.clauses import clauses, phrase_cuts, without_link


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


@pytest.mark.parametrize(
    "parts",
    [
        ["Reset my password.", "Renew my library books."],
        ["Reset my password,", "then fix the radiator"],
        ["Renew my library books,", "top up my meal card,", "and reset my eduroam password"],
        ["Leave the course,", "swap my dorm room", "and get a transcript for my employer"],
        ["File my tickets for reimbursement,", "reserve room 204 for Monday"],
        ["Thanks a lot. Hi. Renew it"],
        ["Update my name, email address and phone number"],
    ],
)
def test_short_clauses_are_clauses(parts):
    assert clauses(" ".join(parts)) == parts


@pytest.mark.parametrize("link", ["and then", "and afterwards", "and after that", "and also"])
def test_no_clause_ends_with_the_and_of_the_next(link):
    task = f"book a hotel in Rome {link} reimburse my taxi from the airport"
    assert clauses(task) == [
        "book a hotel in Rome",
        f"{link} reimburse my taxi from the airport",
    ]
    assert without_link(clauses(task)[1]) == "reimburse my taxi from the airport"


def test_a_statement_takes_no_words_of_what_stands_before():
    cuts = phrase_cuts("I need a copy of my certificate, and my trash was not picked up.")
    assert cuts == [("I need a copy of my certificate", "my trash was not picked up.")]
    assert phrase_cuts("book a flight and a hotel") == [("book a flight", "book a hotel")]


@pytest.mark.parametrize(
    ("task", "second"),
    [
        ("a copy of my MRI and an appointment in cardiology", "an appointment in cardiology"),
        ("We had a baby. I need the certificate and a spot in daycare", "I need a spot in daycare"),
    ],
)
def test_what_a_second_thing_takes_is_of_its_own_clause(task, second):
    [(_, right)] = phrase_cuts(task)
    assert right == second
