"""What a mail says itself, without the mails that it quotes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.text import own_words


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Table for eight, please.\n\n> Your kegs come on Thursday.", "Table for eight, please."),
        ("> Your kegs come.\nTable for eight, please.", "Table for eight, please."),
        ("I want my money back\nOn 3 May Ann wrote:\nhello\nagain", "I want my money back"),
        ("pay me back now\n-----Original Message-----\nFrom: x\n", "pay me back now"),
        ("pay me back now\nOn 3 May, Ann <a@b.c>\nwrote:\n> no", "pay me back now"),
        ("pay me back now\n> > no\n>\n> Ann", "pay me back now"),
        ("Please review this contract.\n\nBob wrote:\n> It jams.", "Please review this contract."),
        ("Is this paid leave?\n>My printer jams", "Is this paid leave?"),
        ("I am ill today.\n\nBob schrieb:\n> My printer jams", "I am ill today."),
        ("I am ill today.\n\nOn 3 May Bob said:\n> My printer jams", "I am ill today."),
        ("I am ill today.\n\nLe 3 mai, Bob a écrit :\n> It jams", "I am ill today."),
        (
            "I am ill now.\nFrom: Bob\nSent: Monday\nTo: Ann\nSubject: jam\n\nIt jams",
            "I am ill now.",
        ),
        ("I am ill today.\r\nBob schrieb:\r\n> My printer jams", "I am ill today."),
        # no mail
        ("run the job now\n>>> print(1)\n1", None),
        ("keep the rows where x\n> 3 holds", None),
        ("fix the job now\nIt writes to /tmp\nand fails", None),
        # it hands on what it quotes
        ("please answer the customer:\n> I was charged twice", None),
        ("take care of this customer\n> I was charged twice", None),
        ("see the mail below, please\n> I was charged twice", None),
        ("Hello there, dear team, please do this today.\n> My printer jams", None),
        ("A customer is angry.\nCan you answer her:\n> I was charged twice", None),
        ("Hello team, good morning.\nTranslate into German:\n> Our documentation is old", None),
        ("Find me a flight, please.\nFrom: Berlin\nTo: Rome\nDate: 3 May\nThanks", None),
        # nothing is quoted, or nothing else said
        ("Table for eight, please.", None),
        ("5 > 3, is it?", None),
        ("see below\n> pay me back", None),
        ("> pay me back, I was charged twice", None),
        ('she said "pay me back" and left', None),
    ],
)
def test_own_words_are_those_that_no_mail_is_quoted_for(text, own):
    assert own_words(text) == own


@given(st.text(">ab \n", max_size=60))
def test_what_is_left_quotes_nothing(text):
    own = own_words(text)
    assert own is None or (own_words(own) is None and len(own.split()) >= 3)
