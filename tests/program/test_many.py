"""Many tasks at once are answered as one after the other."""

import time
from itertools import pairwise

import dspy
import pytest
from fault_table import TASK, hosted, program
from faults import FaultServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import recorded_lm
from small import CountingWords, delegator, make_agent, office_registry

from task_delegator.delegator import Delegator
from task_delegator.errors import InputError, LMError
from task_delegator.lm import forget_circuits
from task_delegator.registry import Registry
from task_delegator.retrieval import many, retrieve

WORDS = [
    "refund",
    "my",
    "order",
    "train",
    "hotel",
    "Porto",
    "salary",
    "late",
    "not",
    "Refunds",
    "Travel",
    "Ada",
    "VAT",
    "invoice",
    "and then",
]
TASKS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join), max_size=9)
CALLERS = st.sampled_from([None, (), ("hr.pay",)])
BARE = Registry([make_agent(f"Agent {i}", f"{a} and {b}") for i, (a, b) in enumerate(pairwise(WORDS))])  # fmt: skip
PROGRAMS = {
    "samples": delegator(office_registry()),
    "parts": delegator(office_registry(), {"split.threshold": 0.5}),
    "no samples": delegator(BARE),
    "nobody permitted": delegator(Registry([make_agent("Payroll", "salaries", needs=("x",))])),
}


def same(answer, alone):
    assert (answer.task, answer.decision, answer.agent, answer.reason) == (
        alone.task, alone.decision, alone.agent, alone.reason,
    )  # fmt: skip
    assert answer.confidence == pytest.approx(alone.confidence, abs=1e-6)
    assert [c.name for c in answer.top3] == [c.name for c in alone.top3]
    for one, other in zip(answer.top3, alone.top3, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
    assert answer.several == pytest.approx(alone.several, abs=1e-6)
    assert answer.evidence.ranking == alone.evidence.ranking
    assert answer.evidence.in_scope_score == pytest.approx(alone.evidence.in_scope_score, abs=1e-6)


@pytest.mark.parametrize("kind", PROGRAMS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tasks=TASKS, caller=CALLERS)
def test_many_tasks_are_answered_as_one_by_one(kind, tasks, caller):
    delegate = PROGRAMS[kind]
    answers = delegate.delegate_many(tasks, caller)
    assert len(answers) == len(tasks)
    for task, answer in zip(tasks, answers, strict=True):
        same(answer, delegate(task, caller))


@pytest.mark.slow
def test_shipped_program_answers_many_as_one_by_one():
    from small import ROOT

    from optimize.data import load_dataset
    from task_delegator import load

    dataset = load_dataset(ROOT / "datasets")
    delegate = load("default", dataset.registry)
    tasks = [request.text for request in dataset.splits["validation"][:60]]
    for answer, task in zip(delegate.delegate_many(tasks), tasks, strict=True):
        same(answer, delegate(task))


def test_tasks_of_a_length_are_encoded_together_and_each_once():
    embed = CountingWords()
    delegate = Delegator(office_registry(), embed)
    delegate("warm")
    embed.texts.clear()
    answers = delegate.delegate_many(["book a long train to Porto", "refund", "refund", "a hotel"])
    assert embed.texts == ["refund", "a hotel", "book a long train to Porto"]
    assert [answer.task for answer in answers][1:] == ["refund", "refund", "a hotel"]


def test_tasks_of_several_windows_are_answered_in_order():
    delegate = PROGRAMS["samples"]
    tasks = [f"{WORDS[i % 14]} {WORDS[i * 5 % 13]} {i}" for i in range(150)]
    for task, answer in zip(tasks, delegate.delegate_many(tasks), strict=True):
        same(answer, delegate(task))


@pytest.mark.parametrize("share", [None, 0.5])
def test_many_tasks_are_for_nobody_where_all_agents_were_removed(share):
    registry = office_registry()
    delegate = delegator(registry, {"lm.ask_settled": True})
    delegate.max_lm_share = share
    for agent in tuple(registry):
        registry.remove(agent.name)
    with dspy.context(lm=recorded_lm(str)[0]):
        answers = delegate.delegate_many(WORDS)
    assert [answer.decision for answer in answers] == ["none"] * len(WORDS)


def test_parts_of_tasks_are_scored_with_all_others(monkeypatch):
    delegate = PROGRAMS["parts"]
    tasks = ["book a hotel in Porto and pay my late salary", "refund my order", "train and invoice"]
    alone = [delegate(task) for task in tasks]
    assert alone[0].several is not None

    def score(*_):
        raise AssertionError("a part was scored by itself")

    monkeypatch.setattr(retrieve, "score", score)
    for answer, one in zip(delegate.delegate_many(tasks), alone, strict=True):
        same(answer, one)


def test_tasks_that_nobody_waits_for_are_not_read(monkeypatch):
    embed = CountingWords()
    delegate = Delegator(office_registry(), embed)
    delegate("warm")
    embed.texts.clear()
    encode = embed.encode
    monkeypatch.setattr(embed, "encode", lambda texts: time.sleep(0.001) or encode(texts))
    monkeypatch.setattr(many, "_FIRST_WINDOW", 200)
    monkeypatch.setattr(many, "_ENCODED", 1)
    asked = [many.Asked(f"refund {i}") for i in range(1000)]
    scored = many.score_many(delegate.retrieve, asked, delegate.knobs.values)
    next(scored)
    scored.close()
    assert 200 <= len(embed.texts) < 900


def test_windows_grow_up_to_a_limit_of_tasks_and_of_characters():
    short = [w.stop - w.start for w in many._windows([10] * 5000)]
    assert short == [128, 256, 512, 1024, 1024, 1024, 1024, 8]
    assert [w.stop - w.start for w in many._windows([2**17] * 5)] == [2, 2, 1]
    assert list(many._windows([])) == []


@pytest.mark.parametrize(("bad", "said"), [("  ", "task 2: the task is empty"), (7, "task 2: expected a text, not int")])  # fmt: skip
def test_a_task_that_cannot_be_used_is_refused_before_anything_starts(bad, said):
    embed = CountingWords()
    with pytest.raises(InputError, match=said):
        Delegator(office_registry(), embed).delegate_many(["refund", bad])
    assert embed.texts == []


@pytest.fixture
def _circuits():
    yield
    forget_circuits()


@pytest.mark.usefixtures("_circuits")
@pytest.mark.fault("failing LM", "`batch`", holds="A row with the error; the others are done.")
def test_a_task_whose_lm_fails_does_not_stop_the_others():
    with FaultServer("401") as server:
        delegate = program(hosted(server), "raise")
        answers = list(delegate.delegate_each([TASK] * 3))
        assert [type(answer) for answer in answers] == [LMError] * 3
        with pytest.raises(LMError):
            delegate.delegate_many([TASK])


@pytest.mark.slow
@pytest.mark.usefixtures("_circuits")
def test_the_lm_is_asked_for_several_tasks_at_a_time():
    with FaultServer(seconds=0.5) as server:
        delegate = program(hosted(server))
        answers = delegate.delegate_many([TASK] * 6)
        assert server.most_at_once > 1
        assert server.requests == 6
        assert [answer.usage.lm_calls for answer in answers] == [1] * 6
        same(answers[0], delegate(TASK))


def test_an_answer_that_nobody_waits_for_is_not_asked_for(monkeypatch):
    begun = []

    def decide(_, task, *__):
        begun.append(task)
        time.sleep(0.01)
        return task

    office = delegator(office_registry(), {"lm.gate": 1.0})
    monkeypatch.setattr("task_delegator.many._decide", decide)
    monkeypatch.setattr(office, "may_ask_lm", lambda *_: True)
    answers = office.delegate_each(["refund"] * 100, threads=2)
    assert next(answers) == "refund"
    answers.close()
    assert len(begun) < 50


@pytest.mark.parametrize("ask", ["delegate_many", "delegate_each"])
def test_one_text_is_no_list_of_tasks(office, ask):
    with pytest.raises(TypeError, match="a list of texts, not the one 'refund'"):
        list(getattr(delegator(office), ask)("refund"))


def test_tasks_may_come_from_a_generator(office):
    tasks = ["refund", "book a train"]
    found = delegator(office).delegate_many(text for text in tasks)
    assert [answer.task for answer in found] == tasks
