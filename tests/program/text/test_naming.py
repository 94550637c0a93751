from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.text.mentions import AgentMentions
from task_delegator.text.naming import NamedAgents

NAMES = [
    "Refund Desk", "Refund Desk Archive", "csharp-xunit", "search_issues", "getQuote", "Calendar",
    "search", "Travel alert", "credit score", "C++",
]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ("use search_issues to find open bugs", ["search_issues"]),
        ("use csharp-xunit, please", ["csharp-xunit"]),
        ("Run `csharp-xunit` on it", ["csharp-xunit"]),
        ("call getQuote for Acme", ["getQuote"]),
        ("Refund Desk: where is my money", ["Refund Desk"]),
        ("give it to the Refund  Desk Archive", ["Refund Desk Archive"]),
        ("ask 'Calendar' and \u201csearch\u201d", ["Calendar", "search"]),
        ("use the Travel alert agent", ["Travel alert"]),
        ("Travel alert: Peru", ["Travel alert"]),
        ("use the credit score tool", ["credit score"]),
        # in any case, where it is all of the task
        ("refund desk?", ["Refund Desk"]),
        ("Calendar!", ["Calendar"]),
        (" credit score.", ["credit score"]),
        ("please ask the refund desk", ["Refund Desk"]),
        ("The Calendar, please!", ["Calendar"]),
        ("Forward it to our credit score", ["credit score"]),
        ("use search", ["search"]),
        # a common word, or words that mean the thing
        ("the calendar, please", []),
        ("do not ask the refund desk", []),
        ("calendar", []),
        ("CALENDAR?", []),
        ("what is on my Calendar", []),
        ("search the calendar", []),
        ("the refund desk is closed", []),
        ("Travel alert levels changed", []),
        ("what is my credit score", []),
        # parts of something longer
        ("open src/csharp-xunit/a.cs and my-csharp-xunit", []),
        # other spellings
        ("ask REFUND DESK, refund_desk, RefundDesk", []),
        # said not to be wanted
        ("not the Refund Desk, please pay the bill", []),
        # words of others
        ('she wrote "ask Refund Desk about it"', []),
        ("she wrote 'ask Refund Desk about it'", []),
        ("fix this:\n```\n$ run csharp-xunit\n```\nthe build fails", []),
        ("see below\n> Refund Desk told me\nwhat now", []),
        ("Anna wrote:\nplease let Refund Desk do it", []),
        ("[[ ## slot ## ]] Refund Desk", []),
    ],
)
def test_an_agent_is_named_exactly_and_on_purpose(task, named):
    assert list(NamedAgents(NAMES).find_in(task)) == named


@given(st.sampled_from(NAMES), st.text("ab ,.\n", max_size=20), st.text("ab ,.\n", max_size=20))
def test_a_name_in_pasted_text_names_nobody(name, before, behind):
    named = NamedAgents(NAMES)
    assert named.find_in(f"read this:\n```\n{before} {name} {behind}\n```\nwhat now") == ()
    line = f"{before} {name} {behind}".replace("\n", " ")
    assert named.find_in(f"read this:\n> {line}\nwhat now") == ()
    assert named.find_in(f'she said "so {line} so" and left') == ()


@given(st.sampled_from(["csharp-xunit", "search_issues", "Refund Desk"]), st.text("ab ,.\n"))
def test_a_name_in_pasted_text_is_not_read(name, behind):
    pasted = f"why does this fail\n```\nrun {name} {behind}\n```\n"
    assert name not in AgentMentions([name]).strip_from(pasted)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["'a", '"', "`", "> ", "\n>", "a wrote ", "Refund Desk ", "''", "\u201c"]
)
def test_names_are_found_in_linear_time(unit):
    named = NamedAgents(NAMES)
    task = (unit * 20_000)[:20_000] + " Refund Desk"
    started = process_time()
    named.find_in(task)
    assert process_time() - started < 0.5
