from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.registry import Agent, cut_passages, passages_of
from task_delegator.registry.texts import PASSAGE_LENGTH


@given(st.text(max_size=9000), st.integers(0, 16))
def test_passages_are_bounded_in_number_and_length_and_add_nothing(text, most):
    passages = cut_passages(text, most)
    assert len(passages) <= most
    assert all(0 < len(passage) <= PASSAGE_LENGTH for passage in passages)
    held = "".join(text.split())
    for passage in passages:
        for word in passage.split():
            assert word in held


def test_sentences_stay_whole_where_they_fit():
    sentences = [f"Rule {i} says what to do with claims of that kind." for i in range(60)]
    passages = cut_passages(" ".join(sentences), 4)
    assert len(passages) == 4
    assert " ".join(sentences).startswith(" ".join(passages))
    assert all(passage.startswith("Rule") and passage.endswith(".") for passage in passages)


def test_items_of_a_list_are_found_without_line_breaks():
    text = "When invoked: - Understand the task and context - Propose a clean solution ## Testing"
    assert cut_passages(text, 1) == ("Understand the task and context Propose a clean solution",)


@pytest.mark.parametrize("text", ["a" * 2_000_000, "- " * 1_000_000, "a. \n" * 500_000])
def test_a_very_long_text_takes_no_longer_than_what_is_kept(text):
    started = perf_counter()
    assert len(cut_passages(text, 4)) <= 4
    assert perf_counter() - started < 0.5


def test_instructions_come_first_then_what_tools_say_and_names_alone_say_nothing():
    tool = {"name": "ledger", "description": "Looks a booking up in the general ledger."}
    agent = Agent.model_validate(
        {"name": "A", "instructions": "Check every booking twice.", "tools": [tool, "shell"]}
    )
    assert passages_of(agent, 4) == (
        "Check every booking twice. Looks a booking up in the general ledger.",
    )
    assert passages_of(agent, 0) == ()
    assert passages_of(Agent(name="B", description="Anything", tools=("shell",)), 4) == ()
