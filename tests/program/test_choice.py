"""A caller excludes and includes agents, goes on from earlier tasks, and asks for more names."""

import json
from collections import Counter
from typing import Any

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import recorded_lm
from small import ROOT, delegator, make_agent, office_registry

from task_delegator import cli
from task_delegator.choice import Choice
from task_delegator.consultation import lm_shortlist
from task_delegator.errors import InputError
from task_delegator.registry import Registry
from task_delegator.settings import MAX_TASK_CHARACTERS
from task_delegator.stages import refers_back, with_earlier
from task_delegator.text import longest_form

NAMES = [agent.name for agent in office_registry()]
PROGRAM = delegator(office_registry())
TASKS = st.sampled_from(["refund my order", "book a train", "a customer shouts", "salary late"])


def named(delegation):
    """Return every name that a delegation says."""
    evidence = delegation.evidence
    return {
        *filter(None, [delegation.agent]),
        *(candidate.name for candidate in (*delegation.top3, *delegation.ranking)),
        *evidence.ranking,
        *(candidate.name for candidate in evidence.retrieval.posterior),
        *evidence.retrieval.z_scores,
    }


@given(TASKS, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_who_is_excluded_is_never_named_and_the_others_keep_their_order(task, exclude, include):
    without = PROGRAM(task, exclude=exclude, include=include, k=9)
    assert not named(without) & exclude
    if exclude == set(NAMES):
        assert (without.decision, without.top3) == ("none", ())
        return
    assert sum(c.probability for c in without.ranking) == pytest.approx(1)
    whole = [name for name in PROGRAM(task, k=9).evidence.ranking if name not in exclude]
    assert sorted(without.evidence.ranking) == sorted(whole)
    if not exclude:
        assert list(without.evidence.ranking) == whole


def test_the_signals_are_those_of_the_agents_that_are_left():
    task = "refund my order"
    assert PROGRAM(task).agent is None or PROGRAM(task).top3[0].name == "Refunds"
    left = PROGRAM(task, exclude=["Refunds"]).evidence.signals
    whole = PROGRAM(task).evidence.signals
    assert left.sample < whole.sample
    assert left.maxsim < whole.maxsim
    assert np.isfinite(list(vars_of(left).values())).all()


def vars_of(values):
    return {name: getattr(values, name) for name in values.__dataclass_fields__}


def test_who_is_included_is_on_the_shortlist_however_little_it_fits():
    program = delegator(many(), {"retrieval.k": 3, "lm.shortlist": 3})
    last = program("thing 0", k=40).evidence.ranking[-1]
    assert last not in program("thing 0").evidence.ranking
    found = program("thing 0", include=[last]).evidence.ranking
    assert found[-1] == last
    assert program("thing 0", include=[last]).top3 == program("thing 0").top3


def many():
    return Registry([make_agent(f"Agent {n}", f"does thing {n}") for n in range(40)])


@pytest.mark.parametrize("permissions", [[], ["other"]])
def test_permissions_go_before_include(permissions):
    asked = PROGRAM("my salary is late", permissions=permissions, include=["Payroll"], k=9)
    plain = PROGRAM("my salary is late", permissions=permissions, k=9)
    assert "Payroll" not in named(asked)
    assert asked.ranking == plain.ranking
    unknown = PROGRAM("my salary is late", permissions=permissions, include=["Nobody"], k=9)
    assert unknown.ranking == asked.ranking


@given(TASKS, st.integers(1, 20))
def test_k_names_as_many_and_changes_nothing_else(task, k):
    some, three = PROGRAM(task, k=k), PROGRAM(task)
    assert len(some.ranking) == min(k, len(NAMES))
    assert three.ranking == three.top3
    same = ("decision", "agent", "confidence", "top3", "reason")
    assert [some[key] for key in same] == [three[key] for key in same]


def test_a_plan_excludes_in_every_step():
    plan = PROGRAM.plan("refund my order. Then book a train to Porto.", exclude=["Refunds"])
    assert not any("Refunds" in named(step.delegation) for step in plan.steps)


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ({"exclude": "Refunds"}, TypeError),
        ({"include": [1]}, TypeError),
        ({"history": "earlier"}, TypeError),
        ({"exclude": ["x"] * 1001}, ValueError),
        ({"k": 0}, ValueError),
        ({"k": True}, ValueError),
        ({"typo": 1}, TypeError),
    ],
)
def test_wishes_are_checked(wishes, error):
    with pytest.raises(error):
        Choice.of(**wishes)


def test_none_is_no_wish_and_what_is_no_wish_is_named():
    assert Choice.of(exclude=None, include=None, history=None) == Choice()
    others: dict[str, Any] = {"config": {}, "lm": None}
    with pytest.raises(TypeError, match="takes no config and no lm: exclude, include, history, k"):
        PROGRAM("refund my order", **others)


@pytest.mark.parametrize(
    ("task", "history", "read"),
    [
        ("And the other one?", ["Book a train."], "Book a train. And the other one?"),
        ("And the other one?", ["A.", "Refund order 17 to the customer today."],
         "Refund order 17 to the customer today. And the other one?"),
        ("And the other one?", ["Refund order seventeen now please.", "And that?"],
         "Refund order seventeen now please. And that? And the other one?"),
        ("And the other one?", [], "And the other one?"),
        ("and", ["x" * 20_000], "x" * 19_996 + " and"),
    ],
)  # fmt: skip
def test_a_task_is_read_behind_the_one_it_goes_on_from(task, history, read):
    assert refers_back(task)
    assert with_earlier(task, history) == read


@pytest.mark.parametrize(
    ("history", "says"),
    [
        (["a", "x" * 20_001], "history: earlier task 2 has 20,001 characters: shorten it"),
        (["\ufdfa" * 1_200], "earlier task 1 has 21,600 characters where each ligature is"),
    ],
)
def test_an_earlier_task_that_is_too_long_is_refused_by_its_number(history, says):
    for task in ("and it?", "a task that needs none of what was said before"):
        with pytest.raises(InputError, match=says):
            PROGRAM(task, history=history)


def test_earlier_tasks_keep_to_the_limit_together_when_each_ligature_is_written_out():
    read = with_earlier("and it?", ["\ufb03" * 6_600 + " it?"] * 3)
    assert longest_form(read) <= MAX_TASK_CHARACTERS
    assert read.endswith("and it?")


@pytest.mark.parametrize("task", ["Thanks, that's all.", "ok thank you very much", "Bye!"])
def test_who_says_goodbye_asks_for_nothing_again(task):
    assert not refers_back(task)


def test_thanks_between_tasks_are_passed_over():
    history = ["Refund order 17 to the customer today.", "Thanks!", "ok thank you"]
    read = "Refund order 17 to the customer today. And the other one?"
    assert with_earlier("And the other one?", history) == read


@pytest.mark.parametrize(
    "task", ["Thanks, and the other one?", "no, that", "that's it", "again", "yes, that, thanks"]
)
def test_who_goes_on_is_read_behind_what_came_before(task):
    assert refers_back(task)


def test_earlier_tasks_are_read_only_where_the_task_needs_them():
    history = ["refund my order"]
    alone = PROGRAM("book a train and a hotel in Porto", history=history)
    assert alone.evidence.read_as is None
    assert alone.ranking == PROGRAM("book a train and a hotel in Porto").ranking
    follow = PROGRAM("and the other one?", history=history)
    assert follow.task == "and the other one?"
    assert follow.evidence.read_as == "refund my order and the other one?"


def test_earlier_tasks_are_untrusted_too():
    follow = PROGRAM("and the other one?", history=["Travel, I say, refund my order"], k=9)
    assert not named(PROGRAM("and it?", permissions=[], history=["my salary"])) & {"Payroll"}
    assert follow.top3[0].name == "Refunds"
    assert follow.evidence.named == ()


@pytest.mark.slow
def test_a_follow_up_goes_where_it_refers_to(capsys):
    agents = str(ROOT / "datasets" / "agents.json")
    arguments = ["delegate", "And the one from June?", "--agents", agents, "--json", "--top", "5"]
    earlier = ["--history", "Our card was charged twice for May, and nobody agreed to that."]
    assert cli.main([*arguments, *earlier, "--exclude", "Refund Desk"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["top3"][0]["name"] == "Billing Dispute Resolver"
    assert len(said["ranking"]) == 5
    assert "Refund Desk" not in json.dumps(said)
    assert said["evidence"]["read_as"].startswith("Our card")
    assert cli.main([*arguments, *earlier, "--plan"]) == 2
    assert "leave out --history" in capsys.readouterr().err
    assert cli.main([*arguments, "--exclude", "Refund Desc"]) == 2
    assert "--exclude: no agent is named 'Refund Desc' (did you mean 'Refund Desk'?)" in (
        capsys.readouterr().err
    )


def test_the_follow_ups_are_labeled_and_halved():
    lines = (
        (ROOT / "datasets" / "probes" / "follow_ups.jsonl").read_text(encoding="utf-8").splitlines()
    )
    rows = [json.loads(line) for line in lines]
    names = {agent["name"] for agent in json.loads((ROOT / "datasets/agents.json").read_text())}
    kinds = Counter((row["split"], row["kind"]) for row in rows)
    assert kinds == {
        (split, kind): number
        for split in ("validation", "test")
        for kind, number in (("follow-up", 15), ("new subject", 5))
    }
    assert all(row["expected_agent_name"] in names and row["history"] for row in rows)


@pytest.mark.parametrize("shortlist", [2, 3])
def test_the_lm_is_shown_whom_the_caller_includes(shortlist):
    program = delegator(many(), {"retrieval.k": 3, "lm.shortlist": shortlist})
    knobs = program.knobs.values
    found = program.retrieve(
        task="thing 0", knobs=knobs, choice=Choice.of(include=["Agent 37", "Agent 38"])
    )
    assert found.query is not None
    shown = [agent.name for agent in lm_shortlist(found, found.query, knobs.lm).agents]
    assert shown[0] == found.candidates[0].name
    assert {"Agent 37", "Agent 38"} <= set(shown)
    assert len(shown) == 3


def test_of_more_included_agents_than_there_are_slots_the_lm_is_shown_the_first():
    program = delegator(many(), {"lm.gate": 1.0, "lm.weight": 1.0, "lm.repeats": 1})
    names = [agent.name for agent in program.registry]
    lm, _ = recorded_lm(lambda _: '{"slot": "A"}')
    with dspy.context(lm=lm):
        answer = program("thing 0", include=names)
    assert answer.evidence.lm is not None
    assert len(answer.evidence.lm.probabilities) == 19
    assert len(answer.evidence.lm.left_out) == len(names) - 19
    assert answer.evidence.lm.probabilities.keys().isdisjoint(answer.evidence.lm.left_out)


def test_a_plan_takes_no_wish_that_it_does_not_read():
    history: dict[str, Any] = {"history": ["refund my order"]}
    with pytest.raises(TypeError, match="a plan takes no history"):
        PROGRAM.plan("and the invoice?", **history)
