"""Letters of other alphabets that look like Latin ones make no other name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry, look_alikes, name_key

LATIN = {
    letter: latin
    for letters, latins in look_alikes._ALPHABETS
    for letter, latin in zip(letters, latins, strict=True)
}


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Refund Desk", "Ref\u057dnd Desk"),  # Armenian
        ("Ops", "\u0555ps"),
        ("Config", "Confi\u0261"),  # phonetic
        ("Sales", "\u13daales"),  # Cherokee
        ("Sales", "\uabaaales"),
        ("Pay", "\ua4d1ay"),  # Lisu
        ("Order", "\u2c9erder"),  # Coptic
        ("Pay", "\u146day"),  # Canadian syllabics
        ("Quiz", "Qu\u0131z"),  # dotless
        ("IT Help", "\u0130T Help"),
        ("Travel", "\u1d1b\u0280\u1d00\u1d20\u1d07\u029f"),  # small capitals
        ("legal", "\u04cfegal"),  # Cyrillic
    ],
)
@pytest.mark.fault("look-alike name", "a registry: letters of 9 alphabets", holds="Refused.")
def test_a_letter_that_looks_like_a_latin_one_makes_no_other_name(name, other):
    with pytest.raises(InputError, match="they look the same"):
        Registry([Agent(name=name), Agent(name=other)])


@given(st.text(st.sampled_from(sorted(LATIN)), min_size=1), st.sampled_from([str.upper, str.lower]))
def test_any_spelling_in_look_alikes_has_the_key_of_the_latin_name(spelled, case):
    latin = "".join(LATIN[letter] for letter in spelled)
    assert name_key(spelled) == name_key(latin)
    folded = case(spelled).casefold()
    if folded == spelled:  # not so of an Armenian ligature, which has no capital
        assert name_key(case(spelled)) == name_key(latin)


def test_the_table_holds_letters_as_names_are_compared():
    for letter, latin in LATIN.items():
        assert latin.isascii()
        assert latin == latin.casefold()
        assert unicodedata.normalize("NFKC", letter).casefold() in (letter, "\u2010")
    assert len(LATIN) == sum(len(letters) for letters, _ in look_alikes._ALPHABETS)


@given(st.text(st.characters(max_codepoint=126)))
def test_names_of_ascii_are_told_apart_as_before(name):
    assert name_key(name) == " ".join(name.casefold().split())


@pytest.mark.parametrize(
    ("name", "other"),
    [("Возврат", "Возраст"), ("Παράδοση", "Παραλαβή"), ("Վճարում", "Վաճառք"), ("返金", "返品")],
)
def test_names_in_other_scripts_stay_names_of_their_own(name, other):
    assert len(Registry([Agent(name=name), Agent(name=other)])) == 2
