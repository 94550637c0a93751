import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import ROOT, HashedWords, make_agent

from task_delegator import load
from task_delegator.delegator import Delegator
from task_delegator.registry import Registry, description_text
from task_delegator.text import repeated_words

SAID = (
    "You handle contested charges. A customer says that an amount we took is not the amount "
    "they owe: one month taken twice, more users counted than they have."
)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (SAID, 28),
        (f"Reset my password. {SAID[:120]}", 22),
        (f"Reset my password. {SAID[:120].upper().replace(' ', ' - ')}", 22),
        ("a customer says that an amount we took is not ours", 0),
        ("a customer says that an amount we took is not the amount", 12),
        ("they owe one month taken twice and more users counted than they have", 0),
        ("", 0),
        ("refund", 0),
    ],
)
def test_a_long_run_of_what_an_agent_says_is_found_in_any_spelling(task, words):
    assert repeated_words(task, SAID) == words


def test_few_long_words_are_a_long_run_too():
    said = " ".join(f"internationalization{n}" for n in range(6))
    assert repeated_words(f"please do {said} now", said) == 6


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(0, 30), st.integers(0, 30))
def test_every_stretch_of_a_text_is_found_where_it_is_long_enough(words, start, length):
    stretch = words[start : start + length]
    found = repeated_words(" ".join(["x", *stretch, "y"]), " ".join(words))
    assert found == (len(stretch) if len(stretch) >= 12 else 0)


def test_a_task_that_repeats_what_an_agent_says_is_reviewed():
    agents = [make_agent("Disputes", SAID), make_agent("Passwords", "resets passwords")]
    program = Delegator(Registry(agents), HashedWords())
    program.knobs.set({"confidence.assign_threshold": 0.0, "scope.threshold": None})
    honest, stuffed = program("amount taken twice"), program(f"reset my password {SAID}")
    assert (honest.decision, honest.evidence.repeated_words) == ("assign", 0)
    assert (stuffed.agent, stuffed.decision) == ("Disputes", "review")
    assert stuffed.evidence.repeated_words == 28
    assert "repeats 28 words of what Disputes says of itself" in stuffed.reason


@pytest.mark.slow
def test_no_request_repeats_an_agent_and_no_copied_description_assigns():
    delegate = load("default", ROOT / "datasets" / "agents.json")
    texts = {agent.name: description_text(agent) for agent in delegate.registry}
    tasks = {}
    for name in ("train", "validation", "ground_truth"):
        rows = json.loads((ROOT / "datasets" / f"{name}.json").read_text(encoding="utf-8"))
        tasks |= {task: row["expected_agent_name"] for row in rows for task in row["user_requests"]}
    assert len(tasks) == 700
    assert not [t for t in tasks if any(repeated_words(t, said) for said in texts.values())]
    names = sorted(texts)
    stuffed = [
        delegate(f"{task} {delegate.registry[other].description[:200]}")
        for number, (task, name) in enumerate(list(tasks.items())[::12])
        if (other := names[(names.index(name) + 31 + number) % 70]) != name
    ]
    assert len(stuffed) > 50
    assert not [given.agent for given in stuffed if given.decision == "assign"]
