import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task_delegator.signatures import NONE_SLOT, SLOTS, SelectAgent, Slot, SlotAdapter
from task_delegator.stages.slots import given as given_distribution
from task_delegator.stages.slots import ranked, slot_distribution

OFFERED = ("A", "B", "C", "Z")


def tokens(*pieces, top=()):
    """Spell an answer token by token; the last piece but one carries the alternatives."""
    content = [{"token": piece, "logprob": -0.1, "top_logprobs": []} for piece in pieces]
    content[-2]["top_logprobs"] = [{"token": t, "logprob": lp} for t, lp in top]
    return {"content": content}


def test_the_slots_are_what_the_signature_enumerates():
    assert (*SLOTS, NONE_SLOT) == Slot.__args__
    assert SelectAgent.output_fields["slot"].annotation == Slot
    assert "N" not in SLOTS
    assert len(SLOTS) == 19


def test_the_slots_are_named_in_the_system_prompt_alone():
    shown = {"task": "a task", "candidates": "A) one\nB) two"}
    system, user = SlotAdapter().format(SelectAgent, demos=[], inputs=shown)
    assert "'S', 'T', 'Z'" in system["content"]
    assert "'S', 'T', 'Z'" not in user["content"]
    assert "JSON" in user["content"]  # OpenAI's JSON mode wants the word in a message
    assert all(text in user["content"] for text in shown.values())


def test_log_probabilities_are_renormalised_over_the_offered_slots():
    logprobs = tokens(
        "{", '"slot"', ": ", '"', "B", '"}',
        top=[(t, math.log(p)) for t, p in {"B": 0.3, "A": 0.1, "ref": 0.5, "T": 0.05}.items()],
    )  # fmt: skip
    found = slot_distribution("B", logprobs, "slot", OFFERED)
    assert found.source == "logprobs"
    assert found.mass == pytest.approx(0.4)
    # C and Z were not reported: each is at most as likely as the least that was (0.05).
    assert found.probabilities == pytest.approx(
        {"A": 0.1 / 0.5, "B": 0.3 / 0.5, "C": 0.05 / 0.5, "Z": 0.05 / 0.5}
    )


def test_a_slot_token_may_carry_its_quote():
    logprobs = tokens('{"slot":', ' "A', '"}', top=[(' "A', -0.2), (' "B', -2.0)])
    found = slot_distribution("A", logprobs, "slot", OFFERED)
    assert found.source == "logprobs"
    assert max(found.probabilities, key=found.probabilities.__getitem__) == "A"


@pytest.mark.parametrize("spelled", [':"{}', ': "{}', '"{}"', " {}"])
def test_what_a_tokenizer_merges_with_a_slot_is_taken_from_its_alternatives_too(spelled):
    top = [(spelled.format(slot), math.log(p)) for slot, p in {"B": 0.6, "A": 0.3}.items()]
    found = slot_distribution(
        "B", tokens('{"slot"', spelled.format("B"), "}", top=top), "slot", OFFERED
    )
    assert found.source == "logprobs"
    assert found.mass == pytest.approx(0.9)
    assert found.probabilities["A"] == pytest.approx(0.3 / 1.5)  # C and Z are at most as likely


@pytest.mark.parametrize(
    "pieces",
    [
        ("[[", " ##", " slot", " ##", " ]]", "\n", "B", "\n\n[[ ##"),
        ("<slot>", "\n", "B", "\n</slot>"),
        ("<", "slot", ">B", "</slot>"),
    ],
)
def test_the_formats_of_dspys_other_adapters_are_read(pieces):
    found = slot_distribution("B", tokens(*pieces, top=[("B", -0.2), ("A", -2.0)]), "slot", OFFERED)
    assert found.source == "logprobs"
    assert found.probabilities["B"] > found.probabilities["A"] >= found.probabilities["C"]


@pytest.mark.parametrize(
    "logprob", [math.inf, -math.inf, math.nan, 800, 0.1, "-0.1", None, True, [1], 10**400]
)
def test_numbers_that_are_no_log_probabilities_are_not_believed(logprob):
    for top in ([("B", logprob), ("A", -2.0)], [("A", -2.0), ("x", logprob)]):
        logprobs = tokens('{"slot": "', "B", '"}', top=top)
        found = slot_distribution("B", logprobs, "slot", OFFERED)
        assert found.source == "unreadable"
        assert set(found.probabilities.values()) == {0.25}


def test_a_log_probability_may_be_above_0_by_rounding():
    logprobs = tokens('{"slot": "', "B", '"}', top=[("B", 5e-7), ("A", -9.0)])
    found = slot_distribution("B", logprobs, "slot", OFFERED)
    assert found.source == "logprobs"
    assert found.mass == 1.0


@pytest.mark.parametrize(
    "probabilities",
    [
        {"A": 0.0, "B": 0},
        {"A": -0.1, "B": 0.9},
        {"A": math.nan, "B": 0.9},
        {"A": math.inf},
        {"A": 1.1},
        {"A": "0.9"},
        {"A": True},
        {"A": 0.9, "K": None},
        {},
        None,
        [0.5, 0.5],
        "A",
    ],
)
def test_what_is_no_distribution_is_not_believed(probabilities):
    found = given_distribution(probabilities, OFFERED, "decision")
    assert (found.source, found.mass) == ("unreadable", None)


def test_objects_of_the_compatibility_backend_are_read_like_dicts():
    class Token:
        def __init__(self, token, logprob, top=()):
            self.token, self.logprob, self.top_logprobs = token, logprob, list(top)

    class Logprobs:
        def __init__(self, *content):
            self.content = content

    given = Logprobs(
        Token('{"slot": "', -0.1),
        Token("A", -0.5, [Token("A", -0.5), Token("B", -1.0)]),
        Token('"}', 0.0),
    )
    assert slot_distribution("A", given, "slot", OFFERED).source == "logprobs"


def test_a_bare_answer_is_believed_in_part():
    found = slot_distribution("C", None, "slot", OFFERED)
    assert found.source == "answer"
    assert found.mass is None
    assert found.probabilities["C"] == pytest.approx(0.7)


def test_an_answer_that_was_not_offered_still_shows_what_the_lm_believed():
    logprobs = tokens(
        "{", '"slot"', ": ", '"', "M", '"}', top=[("M", -0.1), ("B", -3.0), ("x", -9)]
    )
    found = slot_distribution("M", logprobs, "slot", OFFERED)
    assert found.source == "logprobs"
    assert found.probabilities["B"] > 0.9


def test_the_answer_alone_is_no_distribution():
    logprobs = tokens("{", '"slot"', ": ", '"', "B", '"}', top=[("B", -0.1)])
    found = slot_distribution("B", logprobs, "slot", OFFERED)
    assert found.source == "answer"
    assert found.probabilities["B"] == pytest.approx(0.7)


@pytest.mark.parametrize("answer", [None, "K", "", "none"])
def test_an_answer_outside_the_offer_says_nothing(answer):
    found = slot_distribution(answer, None, "slot", OFFERED)
    assert found.source == "unreadable"
    assert set(found.probabilities.values()) == {0.25}


@given(
    st.lists(st.tuples(st.sampled_from(["A", "B", "C", "Z", " A", "x", ""]), st.floats(-40, 0))),
    st.sampled_from(["A", "Z", None]),
)
def test_whatever_comes_back_is_a_distribution_without_zeros(top, answer):
    logprobs = tokens("{", '"slot"', ": ", '"', "A", '"}', top=top)
    found = slot_distribution(answer, logprobs, "slot", OFFERED)
    assert set(found.probabilities) == set(OFFERED)
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert all(p > 0 for p in found.probabilities.values())
    assert found.mass is None or 0 <= found.mass <= 1


NUMBERS = st.one_of(
    st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=3), st.just(-0.5)
)
JSON = st.recursive(
    NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
TOKENS = st.one_of(st.sampled_from(["A", "B", ' "B', ':"B', "Z", "x", '{"slot"', ": "]), JSON)
ENTRIES = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {"token": TOKENS, "logprob": NUMBERS},
        optional={
            "top_logprobs": JSON
            | st.lists(st.fixed_dictionaries({"token": TOKENS, "logprob": NUMBERS}), max_size=4)
        },
    ),
)


@settings(max_examples=300)
@given(
    st.one_of(JSON, st.sampled_from(["A", "B", "K"])),
    st.one_of(
        JSON,
        st.fixed_dictionaries({"content": JSON}),
        st.builds(
            lambda entries: {"content": [{"token": '{"slot"', "logprob": 0.0}, *entries]},
            st.lists(ENTRIES, max_size=4),
        ),
    ),
)
def test_garbage_for_log_probabilities_is_a_distribution_or_unreadable(answer, logprobs):
    is_distribution(slot_distribution(answer, logprobs, "slot", OFFERED))


@settings(max_examples=200)
@given(
    st.one_of(JSON, st.dictionaries(st.sampled_from((*OFFERED, "K")), NUMBERS | st.floats(0, 1)))
)
def test_garbage_for_a_distribution_is_a_distribution_or_unreadable(probabilities):
    is_distribution(given_distribution(probabilities, OFFERED, "decision"))


def is_distribution(found) -> None:
    assert set(found.probabilities) == set(OFFERED)
    assert all(math.isfinite(p) and 0 <= p <= 1 for p in found.probabilities.values())
    assert math.fsum(found.probabilities.values()) == pytest.approx(1)
    assert found.mass is None or 0 <= found.mass <= 1


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_ranking_in_percent_is_that_in_parts_of_one(one, other):
    low, high = sorted((one, other))
    parts = sorted((low, high - low, 100 - high), reverse=True)
    pairs = list(zip(OFFERED, parts, strict=False))
    percent = ranked(pairs[0][0], pairs, OFFERED)
    fractions = ranked(pairs[0][0], [(slot, p / 100) for slot, p in pairs], OFFERED)
    assert percent.source == "verbalized"
    assert percent.probabilities == pytest.approx(fractions.probabilities)


@pytest.mark.parametrize("parts", [(3.0, 0.5), (900.0, 5.0), (40.0, -1.0), (float("nan"), 60.0)])
def test_numbers_that_are_neither_leave_the_bare_answer_or_what_is_a_probability(parts):
    found = ranked("A", list(zip("AB", parts, strict=True)), OFFERED)
    assert found.probabilities == slot_distribution("A", None, "slot", OFFERED).probabilities
