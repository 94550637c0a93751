from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.text import negation
from task_delegator.text.negation import negated_spans, without_negated

WORDS = [
    "not",
    "don't",
    "no",
    "never",
    "nobody",
    "rather",
    "than",
    "instead",
    "of",
    "a",
    "an",
    "the",
    "this",
    "it",
    "isn't",
    "is",
    "we",
    "want",
    "need",
    "invoice",
    "quote",
    "only",
    "but",
    "also",
    "just",
    "please",
    "forget",
    "skip",
    "about",
    "without",
    "touching",
    "delay",
    "later",
    ",",
    ";",
    ":",
    "-",
    "(",
    ")",
    '"',
    "and",
    "needed",
    "here",
    "why",
    "by",
    "in",
]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)


@pytest.mark.parametrize(
    ("task", "left"),
    [
        ("answer by mail, not by phone please", "answer by mail,"),
        ("Not for me, for my colleague: book a train", "for my colleague: book a train"),
        ("Not a finance analysis; create a PRD", "create a PRD"),
        ("Write the changelog, not a migration guide: retries change", "Write the changelog,"),
        ("We don't need a price, just a page with savings", "just a page with savings"),
        ("This isn\u2019t about a broken scanner. I lost my password", "I lost my password"),
        ("don't book me a flight, book a hotel in Boston", "book a hotel in Boston"),
        ("No Terraform here: Bicep files for the cluster", "Bicep files for the cluster"),
        ("instead of a recipe give me the calories of one", "give me the calories of one"),
        ("A PRD is not what we need, write the decision record", "write the decision record"),
        ("we use Bicep, not plain Terraform, for all clusters", "we use Bicep, , for all clusters"),
    ],
)  # fmt: skip
def test_what_is_not_wanted_is_left_out(task, left):
    assert without_negated(task).startswith(left)


@pytest.mark.parametrize(
    "task",
    [
        "answer the questionnaire without delay",
        "not only the invitation but also the page, no later than Tuesday",
        "why not draw it as a diagram",
        "why don't you tell me a joke",
        "Don't forget to send the invoice",
        "my card was not accepted at the store",
        "the scanner is not charging, not even over night",
        "nobody at the customer can sign in",
        "i can't find my phone anywhere",
        "No sound since the update",
        "the machine gave me 10 pounds instead of the 30 I wanted",
        "is it ok to use ketchup instead of mustard",
        "block the card, i don't want someone to use my account",
        "this is not what I ordered, send me the right one",
        "Do not disturb mode is stuck on my phone",
        "not an invoice",  # nothing else is said
        "They don't want another success story, they want it with their own volumes",
        "don't let me forget to check the steak",
    ],
)
def test_what_does_not_work_is_what_a_task_is_about(task):
    assert without_negated(task) == task


@given(TEXTS, st.sampled_from([". ", "? ", "\n\n", "\n- "]), TEXTS)
def test_a_negation_ends_with_its_sentence(one, end, other):
    other = other.lstrip("- ")  # a mark of a list belongs to the line's end
    whole = negated_spans(one + end + other)
    start = len(one + end)
    first = negated_spans(one + end)
    apart = [(a + start, b + start) for a, b in negated_spans(other)]
    assert whole == [*first, *apart]


@given(TEXTS)
def test_nothing_more_is_left_out_the_second_time(task):
    once = without_negated(task)
    assert without_negated(once) == once


@given(TEXTS)
def test_parts_are_in_order_and_within_the_text(task):
    places = [place for span in negated_spans(task) for place in span]
    assert places == sorted(places)
    assert all(0 <= place <= len(task) for place in places)


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", [*(f"{word} " for word in WORDS), "not", "n't ", " ", "\n", "it is not a ", "no a a "]
)
def test_negations_are_found_in_linear_time(unit):
    task = (unit * 20_000)[:20_000]
    started = process_time()
    without_negated(task)
    assert process_time() - started < 0.5


@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_a_text_without_a_hint_of_a_cue_holds_none(text):
    found = negated_spans(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(negation, "_HINTS", ("",))  # which every text holds
        assert negated_spans(text) == found


@pytest.mark.parametrize(
    "task",
    [
        "new bond, ISIN DE0001, not in the system yet",
        "new laptop not on the network",
        "Not on the network, my new laptop",
        "ordered a lamp in May, never came",
        "the parcel, never arrives on time",
    ],
)
def test_what_is_not_so_is_what_a_terse_task_is_about(task):
    assert without_negated(task) == task
