import json
import re
from dataclasses import replace

import dspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import recorded_lm
from small import CountingWords, HashedWords

from task_delegator.delegation import Plan
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.stages.clauses import (
    MAX_ITEMS,
    clauses,
    cuts,
    items,
    phrase_cuts,
    without_link,
)
from task_delegator.stages.decompose import DecomposeTask, PartScore, best_split, by_items, linked

TWO = "Please book a train and a hotel in Porto, then send the invoice again to the customer."


def planner(office, knobs=()):
    program = Delegator(office, HashedWords())
    program.knobs.set({"lm.repeats": 1} | dict(knobs))
    return program


@given(st.text(alphabet="ab ,.;\n1)sendthen", min_size=1, max_size=80), st.integers(1, 3))
def test_cutting_loses_no_word(task, parts):
    pieces = clauses(task)
    assert " ".join(pieces).split() == task.split()
    for texts in cuts(pieces, parts):
        assert len(texts) == parts
        assert " ".join(texts).split() == task.split()


@pytest.mark.parametrize(
    ("task", "pieces"),
    [
        ("one thing only", 1),
        (TWO, 2),
        ("Check who is right about the bill. They also want to go down to 40 seats.", 2),
        ("1) answer the questions of the tender 2) fill in the security form 3) make a quote", 3),
        ("We need invitations and registration pages for the webinar", 1),
        ("a b c d. " * 20, 6),
    ],
)
def test_clauses_end_where_the_next_thing_is_asked(task, pieces):
    assert len(clauses(task)) == pieces


def test_a_part_that_opens_with_a_word_of_sequence_waits():
    parts = linked(("write it,", "and then send it around", "also print it on paper"))
    assert [(part.task, part.after) for part in parts] == [
        ("write it", ()),
        ("send it around", (1,)),
        ("print it on paper", ()),
    ]


def test_parts_of_a_split_are_for_different_agents():
    same = PartScore(("A", "B"), 0.9, 0.5)
    assert best_split("do this thing now. do that thing now.", 2, lambda text: same) is None


def test_a_task_is_split_by_clauses_and_scores(office):
    plan = planner(office, {"split.threshold": 0.5}).plan(TWO)
    assert isinstance(plan, Plan)
    assert plan.agents == ("Travel", "Invoices")
    assert [step.after for step in plan.steps] == [(), (1,)]
    assert plan.source == "lexical"
    assert all(0 <= step.delegation.confidence <= 1 for step in plan.steps)
    assert json.loads(json.dumps(plan.to_dict()))["steps"][1]["after"] == [1]


@pytest.mark.parametrize(
    ("task", "texts"),
    [
        ("refund my order", ["refund my order"]),
        (TWO, [TWO, TWO.split(", then ")[0], TWO.split(", then ")[1]]),
    ],
)
def test_a_part_of_a_plan_is_embedded_once(office, task, texts):
    embed = CountingWords()
    program = Delegator(office, embed)
    program.knobs.set({"split.threshold": 0.5})
    program("warm up")
    embed.texts.clear()
    plan = program.plan(task)
    assert len(plan.steps) == max(1, len(texts) - 1)
    assert set(texts) <= set(embed.texts)
    assert len(set(embed.texts)) == len(embed.texts)
    alone = [program(step.task) for step in plan.steps]
    assert [s.delegation.evidence for s in plan.steps] == [d.evidence for d in alone]


def test_a_task_for_one_agent_stays_whole(office):
    plan = planner(office, {"split.threshold": 0.5}).plan("refund my order")
    assert [step.task for step in plan.steps] == ["refund my order"]
    assert planner(office).plan(TWO).agents == ("Travel",)  # uncompiled: never split


def test_an_lm_splits_where_the_knobs_let_it(office):
    parts = [
        {"task": "book a train to Porto", "after": [2]},  # waits for a later one: ignored
        {"task": "send the invoice again", "after": [1, 1, 9]},
    ]
    lm, engine = recorded_lm(lambda prompt: json.dumps({"parts": parts}))
    with dspy.context(lm=lm):
        plan = planner(office, {"split.use_lm": True}).plan(TWO)
        lexical = planner(office, {"split.use_lm": False}).plan(TWO)
    assert plan.source == "lm"
    assert plan.usage.lm_calls == len(engine.prompts) == 1
    assert [step.after for step in plan.steps] == [(), (1,)]
    assert plan.agents == ("Travel", "Invoices")
    assert lexical.source == "lexical"


@pytest.mark.parametrize(
    ("parts", "tasks"),
    [
        ([{"task": "reworded by the LM"}], [(TWO, ())]),
        (
            [{"task": " "}, {"task": "book a train"}, {"task": "send the invoice", "after": [2]}],
            [("book a train", ()), ("send the invoice", (1,))],
        ),
        ([{"task": f"part {i}"} for i in range(9)], [(f"part {i}", ()) for i in range(4)]),
    ],
)
def test_what_an_lm_splits_is_put_in_order(office, parts, tasks):
    lm, _ = recorded_lm(lambda prompt: json.dumps({"parts": parts}))
    with dspy.context(lm=lm):
        plan = planner(office, {"split.use_lm": True}).plan(TWO)
    assert [(step.task, step.after) for step in plan.steps] == tasks


def test_an_unreadable_split_falls_back_to_the_clauses(office):
    lm, _ = recorded_lm(lambda prompt: "no idea")
    with dspy.context(lm=lm):
        plan = planner(office, {"split.use_lm": True, "split.threshold": 0.5}).plan(TWO)
    assert plan.source == "lexical"
    assert len(plan.steps) == 2


def test_an_unusable_task_is_refused(office):
    with pytest.raises(InputError, match="empty"):
        planner(office).plan(" ")


def test_a_caller_without_agents_gets_a_plan_that_says_so(office):
    secret = [a.model_copy(update={"required_permissions": frozenset({"x"})}) for a in office]
    plan = planner(type(office)(secret), {"split.threshold": 0.0}).plan(TWO, permissions=[])
    assert [step.delegation.decision for step in plan.steps] == ["none"]
    assert plan.agents == ()


@pytest.mark.parametrize(
    ("task", "texts"),
    [
        ("a train and a hotel", [("a train", "a hotel")]),
        ("book a train to Porto and a hotel", [("book a train to Porto", "book a hotel")]),
        ("tire pressure and next oil change", [("tire pressure", "next oil change")]),
        ("fish and chips", []),
        ("play some rock and roll", []),
        ("one thing only", []),
    ],
)
def test_phrases_that_are_joined_by_and_may_be_two_things(task, texts):
    assert phrase_cuts(task) == texts


@pytest.mark.parametrize(
    ("task", "pieces"),
    [
        ("1. refund it 2. book a train 3. shout", ["refund it", "book a train", "shout"]),
        ("1) refund it\n2) book a train", ["refund it", "book a train"]),
        ("- refund it\n- book a train", ["refund it", "book a train"]),
        ("* refund it\n* book a train", ["refund it", "book a train"]),
    ],
)
def test_each_item_of_a_list_is_a_part_without_its_mark(task, pieces):
    assert [without_link(clause) for clause in clauses(task)] == pieces


def test_a_phrase_is_cut_where_both_halves_are_found_better_than_the_whole():
    def look(text: str) -> PartScore:
        whole = " and " in text
        return PartScore(("Travel" if "train" in text else "Invoices",), 0.9, 0.5 if whole else 0.9)

    task = "a cheap train and the old invoice"
    found = best_split(task, 2, look)
    assert found is not None
    assert found.texts == ("a cheap train", "the old invoice")
    assert best_split(task, 2, lambda text: PartScore(look(text).agents, 0.9, 0.5)) is None


def test_a_delegation_says_that_a_task_seems_to_need_several_agents(office):
    program = planner(office, {"split.threshold": 0.5})
    given = program(TWO)
    assert given.several == program.plan(TWO).several
    assert given.several is not None
    assert given.several >= 0.5
    assert "`plan`" in given.reason
    assert program("refund my order").several is None
    assert planner(office)(TWO).several is None  # never splits


class CountingCalls(HashedWords):
    """Note which texts are embedded together."""

    def __init__(self):
        self.calls = []

    def encode(self, texts):
        self.calls.append(list(texts))
        return super().encode(texts)


@pytest.mark.parametrize("known", [False, True])
def test_the_parts_that_a_delegation_looks_at_are_embedded_together(office, known):
    embed = CountingCalls()
    program = Delegator(office, embed)
    program.knobs.set({"split.threshold": 0.5})
    program.warm_up()
    found = program.retrieve(task=TWO, knobs=program.knobs.values) if known else None
    parts = TWO.split(", then ")
    embed.calls.clear()
    given = program(TWO, None, found)
    assert embed.calls == [parts if known else [TWO, *parts]]
    assert given.several == program.plan(TWO).several
    embed.calls.clear()
    program("refund my order")
    assert embed.calls == [["refund my order"]]


SEEN = {
    "split.threshold": 0.5,
    "split.several.weakest_part": 0.3,
    "split.several.maxsim_gain": 5.0,
}


class PoolingWords(CountingCalls):
    """Words that do not see each other: a part of a text is the same with and without the rest."""

    pools_tokens = True

    def token_ids(self, texts):
        return [self._one(text).token_ids for text in texts]


@pytest.mark.parametrize("known", [False, True])
def test_parts_are_read_in_the_one_pass_over_the_task_where_the_embedder_can(office, known):
    embed = PoolingWords()
    program = Delegator(office, embed)
    program.knobs.set(SEEN)
    program.warm_up()
    found = program.retrieve(task=TWO, knobs=program.knobs.values) if known else None
    embed.calls.clear()
    given = program(TWO, None, found)
    assert embed.calls == ([] if known else [[TWO]])
    assert given.several == pytest.approx(program.plan(TWO).several, abs=0.02)
    assert given.several != pytest.approx(0.5, abs=0.1)


def test_parts_that_a_cut_text_lacks_are_embedded(office):
    class ShortWords(PoolingWords):
        """Cut texts as a model does that takes few tokens."""

        def encode(self, texts):
            return super().encode([" ".join(text.split()[:9]) for text in texts])

    embed = ShortWords()
    program = Delegator(office, embed)
    program.knobs.set(SEEN)
    program.warm_up()
    embed.calls.clear()
    assert program(TWO).several is not None
    assert len(embed.calls) == 2


def test_an_agent_that_the_caller_excludes_counts_for_no_part(office):
    program = planner(office, SEEN)
    several = program(TWO, exclude=["Invoices"]).several
    assert several == program.plan(TWO, exclude=["Invoices"]).several
    assert several != program(TWO).several


LIST = """Before Friday we need:
1. a train to Porto
  for two
2. the invoice sent again

3. a train to Faro
Thanks!"""


def test_a_list_is_cut_at_its_items():
    head, listed = items(LIST)
    assert head == "Before Friday we need:"
    assert listed == (
        "a train to Porto\nfor two",
        "the invoice sent again",
        "a train to Faro\nThanks!",
    )
    assert items("- book a train\r\n- pay") == ("", ("book a train", "pay"))
    assert items("1) book\n   - a train\n2) pay") == ("", ("book\n- a train", "pay"))


@pytest.mark.parametrize(
    "task",
    [
        "1. only this",
        "Cancel the plan on 1. March and the train on 2. March",  # dates
        "pay the customer back for order\n17. They cancelled. Book a train to\n12. Street",
        "Please: 1. book a train\n2. pay",  # begins in the line before
        "2. book a train\n3. pay",
        "1. book a train\n3. pay",
        "- book a train\n* pay",
        "Book a train. Then pay:\n- the hotel\n- the car",  # tasks of their own before it
        "1. book a train\n2. pay\nAlso, tell all staff about it",  # and behind it
        "1. book a train\n2. ,\n3. pay",
        "1. book a train\n2. 3.\n3. pay",
        "1.\n2.",
        "-\n-",
        "",
        "\n".join(f"{n}. thing" for n in range(1, MAX_ITEMS + 2)),
    ],
)
def test_what_is_no_list_has_no_items(task):
    assert items(task) == ("", ())


@given(st.text(alphabet="ab 123.),-\n", max_size=60))
def test_a_list_loses_no_word_but_its_marks(task):
    head, found = items(task)
    if found:
        assert 2 <= len(found) <= MAX_ITEMS
        assert all(re.search(r"\w", without_link(item)) for item in found)
        marks = [rf"{number}[.)]|-" for number, _ in enumerate(found, 1)]
        words, kept = task.split(), " ".join([head, *found]).split()
        for word in kept:
            while words[0] != word:
                assert re.fullmatch(marks.pop(0), words.pop(0))
            words.pop(0)
        assert words == marks == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(["book a train", "pay", "1.", ",", "then,", "a", "-", ""])))
def test_a_plan_of_any_list_is_one(office, lines):
    task = "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1)) or "pay"
    plan = planner(office, {"split.threshold": 0.0}).plan(task)
    assert 1 <= len(plan.steps) <= MAX_ITEMS


def found_by_words(text: str) -> PartScore:
    """The first agent by a word of the text, sure unless the text says "perhaps"."""
    agent = next((name for word, name in BY_WORD.items() if word in text), "Invoices")
    return PartScore((agent,), 0.2 if "perhaps" in text else 0.9, 0.5)


BY_WORD = {"train": "Travel", "book": "Travel"}


def test_whoever_wrote_a_list_drew_the_lines():
    def look(text: str) -> PartScore:
        found = found_by_words(text)
        return replace(found, confidence=0.4) if text == "Before Friday we need:" else found

    texts = by_items(LIST, look)
    assert texts == ("Before Friday we need: " + items(LIST)[1][0], *items(LIST)[1][1:])
    knobs = KnobValues().replaced({"split.threshold": 0.0})
    parts = DecomposeTask()(LIST, knobs, look).parts
    assert [part.task for part in parts] == [*texts]


def test_what_one_thing_is_made_of_is_no_list_of_things():
    assert by_items("- list price\n- book", found_by_words) == ("list price", "book")
    assert by_items("- list price\n- perhaps book", found_by_words) == ()
    assert by_items("perhaps:\n- list price\n- book", found_by_words) == ()  # the first item too
    assert by_items("Draft a quote:\n- list price\n- book", found_by_words) == ()


def test_items_for_one_agent_stay_together():
    agents = {"book a": ("A",), "book b": ("A",), "pay c": ("B",)}

    def look(text: str) -> PartScore:
        return PartScore(agents[text], 0.9, 0.5)

    assert by_items("1. book a\n2. book b\n3. pay c", look) == ("book a\nbook b", "pay c")
    assert by_items("1. book a\n2. book b", look) == ()
    assert by_items("book a and pay c", look) == ()
