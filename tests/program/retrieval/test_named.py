"""An agent that a task names on purpose comes first, unless the rest of the task objects."""

import pytest
from small import HashedWords, make_agent

from task_delegator.delegator import Delegator
from task_delegator.registry.agents import Registry

AGENTS = [
    make_agent("refund-desk", "pays money back", "refund my order", "money back please"),
    make_agent("Invoice Copies", "copies of invoices", "send the invoice again", "wrong VAT id"),
    make_agent("Travel", "books trains and hotels", "book a train to Porto", "hotel in Porto"),
    make_agent("Press Office", "writes press releases", "a press release", "interview with a paper"),
    make_agent("Finance Analyst", "finance analysis", "analyse the finance figures", "a forecast"),
]  # fmt: skip


@pytest.fixture(scope="module")
def program() -> Delegator:
    program = Delegator(Registry(AGENTS), HashedWords())
    program.knobs.set({"confidence.assign_threshold": 0.0})
    return program


@pytest.mark.parametrize(
    ("task", "first"),
    [
        ("use refund-desk for train 17", "refund-desk"),
        ("Press Office: look at this, please", "Press Office"),
        ('ask "Travel" about it', "Travel"),
    ],
)
def test_a_named_agent_comes_first_and_a_person_looks(program, task, first):
    given = program(task)
    assert given.top3[0].name == first
    assert given.evidence.named == (first,)
    assert given.decision == "review"


def test_a_named_agent_is_on_the_shortlist_where_the_rest_objects(program):
    given = program("Ask the Press Office. send the invoice again with the VAT id, wrong copies")
    assert given.top3[0].name == "Invoice Copies"
    assert "Press Office" in [candidate.name for candidate in given.top3]
    assert given.decision == "review"


def test_agents_that_are_excluded_do_not_object(program):
    """They could not do it, or are gone: what reads like one for them is for the named one."""
    task = "Ask the Press Office. send the invoice again with the VAT id, wrong copies"
    given = program(task, exclude=["Invoice Copies"])
    assert given.top3[0].name == "Press Office"


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.1, 0.03, 0.01, 0.003])
@pytest.mark.parametrize("named", ["Press Office", "Travel"])
def test_a_named_agent_is_on_the_shortlist_however_sure_the_posterior_is(temperature, named):
    sure = Delegator(Registry(AGENTS), HashedWords())
    sure.knobs.set({"retrieval.temperature": temperature})
    task = f"Ask {named}. send the invoice again with the VAT id, wrong copies of finance analysis"
    (many,) = sure.delegate_many([task])
    for given in (sure(task), many):
        shown = [candidate.name for candidate in given.top3]
        assert shown[0] == "Invoice Copies"
        assert named in shown


@pytest.mark.parametrize(
    "task",
    [
        "send the invoice again. they wrote: 'let refund-desk do this, or Press Office'",
        "send the invoice again\n```\n$ run refund-desk\n```",
        "send the invoice again\n> Press Office",
    ],
)
def test_names_in_pasted_text_gain_nothing(program, task):
    bare = task.replace("refund-desk", " ").replace("Press Office", " ")
    named, plain = program(task), program(bare)
    assert [c.name for c in named.top3] == [c.name for c in plain.top3]
    assert named.evidence.named == ()


def test_a_negated_part_is_no_evidence(program):
    given = program("Not a finance analysis, no forecast please; book a train")
    assert given.top3[0].name == "Travel"
    assert program("finance analysis, forecast; a train").top3[0].name == "Finance Analyst"


def test_an_lm_reads_the_negation_and_an_agent_that_is_named_on_purpose(program):
    index = program.retrieve.library.index({})
    read = program.retrieve.read("Not a forecast; ask Press Office about trains", index)
    assert read.text.split() == ["ask", "about", "trains"]
    assert "Not a forecast" in read.shown
    assert "Press Office" not in read.shown
    found = program.retrieve(task=read.task, knobs=program.knobs.values)
    assert found.query is not None
    assert found.query.shown == read.task


def test_agents_that_a_caller_may_not_use_are_not_named():
    hidden = [
        agent.model_copy(update={"required_permissions": frozenset({"board"})})
        if agent.name == "refund-desk"
        else agent
        for agent in AGENTS
    ]
    task = "use refund-desk for the invoice"
    with_hidden = Delegator(Registry(hidden), HashedWords())(task, permissions=[])
    without = Delegator(Registry(hidden[1:]), HashedWords())(task, permissions=[])
    assert with_hidden.top3 == without.top3
    assert with_hidden.evidence.named == ()


def test_a_task_that_says_nothing_but_a_name_is_meant_for_somebody(program):
    strict = program.deepcopy()
    strict.knobs.set({"scope.threshold": 1.0})
    assert strict("something else entirely").decision == "none"
    assert strict("use refund-desk for train 17").decision == "review"
    assert strict("Press Office: a press release").decision == "review"


def test_a_request_without_a_stop_objects_to_the_name_behind_it(program):
    request = (
        "hello there and good morning, I would be glad if somebody could send the invoice again "
        "with the VAT id right this time, the copies are wrong"
    )
    given = program(f"{request} and all of that by noon, and hand it over to Press Office")
    assert given.top3[0].name == "Invoice Copies"
