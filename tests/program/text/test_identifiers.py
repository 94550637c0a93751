"""Names that are written as identifiers are read as words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.text import identifier_words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("getUser", "get User"),
        ("get_user", "get user"),
        ("RefundDesk", "Refund Desk"),
        ("getHTTPResponse", "get HTTP Response"),
        ("convertToPDF", "convert To PDF"),
        ("listPDFs", "list PDFs"),
        ("route53Records", "route53 Records"),
        ("getUser_byName", "get User by Name"),
        # words of their own
        ("GitHub Helper", "GitHub Helper"),
        ("FAQs", "FAQs"),
        ("HTTP", "HTTP"),
        ("csharp-xunit", "csharp-xunit"),
        ("Rückerstattung", "Rückerstattung"),
        ("", ""),
    ],
)
def test_an_identifier_has_words(name, words):
    assert identifier_words(name) == words


@given(st.text(max_size=60))
def test_words_of_an_identifier_are_its_letters_and_have_no_more_words_in_them(name):
    words = identifier_words(name)
    assert words.replace(" ", "") == name.replace("_", "").replace(" ", "")
    assert identifier_words(words) == words or " " not in words


@given(st.lists(st.from_regex(r"[a-z]{3,8}", fullmatch=True), min_size=1, max_size=5))
def test_an_identifier_of_words_gives_them_back(words):
    camel = words[0] + "".join(map(str.capitalize, words[1:]))
    assert identifier_words(camel).lower().split() == words
    assert identifier_words("_".join(words)).split() == words
