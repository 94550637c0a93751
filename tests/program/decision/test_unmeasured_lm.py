"""An LM that nobody measured for these agents: when it is asked, and what its word counts for."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import recorded_lm
from small import HashedWords, make_agent, office_registry

from task_delegator.calibration import CalibratedAgents
from task_delegator.decision import probabilities_of_lm
from task_delegator.delegation import CalibratedBy
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues
from task_delegator.registry import Registry

Changes = Mapping[str, Any]

NONE: Changes = MappingProxyType({})
TASK = "refund my order"
UNSURE: dict[str, Any] = {
    "retrieval.temperature": 20.0,  # a posterior as even as that of a compiled program
    "transfer.right.bias": 0.0,
    "transfer.assign_threshold": 0.9,
    "transfer.lm_weight": 2.0,
}


def ranks(*beliefs: tuple[str, float]) -> Callable[[str], str]:
    """Answer with the slots of some agents ("Z" for nobody) and their probabilities."""

    def slot(name: str, prompt: str) -> str:
        shown = (line for line in prompt.splitlines() if line[1:].startswith(f") {name}"))
        return next(shown, "Z")[0]

    def answer(prompt: str) -> str:
        said = [{"slot": slot(name, prompt), "probability": p} for name, p in beliefs]
        return json.dumps({"slot": said[0]["slot"], "ranking": said})

    return answer


def stranger(
    answer: Callable[[str], str], registry: Registry | None = None, changes: Changes = NONE
) -> tuple[Delegator, Any]:
    """Return a program that was calibrated on others, and its LM's engine."""
    lm, engine = recorded_lm(answer)
    return program_with(lm, registry, changes), engine


def program_with(
    lm: dspy.LM | None, registry: Registry | None = None, changes: Changes = NONE
) -> Delegator:
    other = CalibratedAgents(frozenset({"0" * 16}), transfer=True)
    program = Delegator(registry or office_registry(), HashedWords(), lm, other)
    program.knobs.set(UNSURE | dict(changes))
    return program


def test_what_would_be_reviewed_is_decided_by_the_lm():
    program, engine = stranger(ranks(("Ada", 0.95), ("Refunds", 0.05)))
    found = program(TASK)
    assert (found.decision, found.agent) == ("assign", "Ada")
    assert found.confidence == pytest.approx(0.95, abs=0.01)
    assert found.evidence.calibrated_by == "lm"
    assert (found.usage.lm_calls, len(engine.prompts)) == (1, 1)


def test_what_other_registries_make_sure_is_not_asked_about():
    program, engine = stranger(ranks(("Ada", 0.95)), None, {"transfer.right.bias": 3.0})
    found = program(TASK)
    assert (found.decision, found.agent) == ("assign", "Refunds")
    assert found.evidence.calibrated_by == "registries"
    assert not engine.prompts


def test_nobody_is_said_as_surely_as_an_agent_is_assigned():
    for none, decision in ((0.95, "none"), (0.85, "review")):
        program, _ = stranger(ranks(("nobody", none), ("Refunds", 1 - none)))
        found = program(TASK)
        assert found.decision == decision
        assert found.evidence.in_scope_score == pytest.approx(1 - none, abs=0.01)


def test_an_lm_that_is_not_sure_leaves_it_to_a_person():
    program, _ = stranger(ranks(("Ada", 0.6), ("Refunds", 0.4)))
    found = program(TASK)
    assert (found.decision, found.agent) == ("review", "Ada")
    assert "probability of 59%, 90% is needed to assign" in found.reason


@pytest.mark.parametrize(
    "changes", [{"transfer.lm_weight": 0.0}, {"transfer.assign_threshold": None}]
)
def test_a_program_that_has_no_place_for_it_does_not_ask(changes):
    program, engine = stranger(ranks(("Ada", 0.95)), None, changes)
    assert program(TASK).decision == "review"
    assert not engine.prompts


def test_who_did_not_ask_for_decisions_about_strangers_gets_none():
    program, engine = stranger(ranks(("Ada", 0.95)))
    program.calibrated_for.transfer = False
    found = program(TASK)
    assert (found.decision, found.evidence.gate.settled) == ("review", "uncalibrated")
    assert not engine.prompts


def test_without_an_lm_nothing_changes():
    found = program_with(None)(TASK)
    assert (found.decision, found.agent) == ("review", "Refunds")
    assert found.evidence.gate.threshold is None


@pytest.mark.parametrize("number", [2, 151])
def test_sizes_that_other_registries_say_nothing_of_are_for_the_lm(number):
    agents = [make_agent(f"Desk {n}", f"errand {n}") for n in range(number)]
    program, engine = stranger(
        ranks(("Desk 1", 0.95)), Registry(agents), {"transfer.right.bias": 9.0}
    )
    found = program("errand 1")
    assert (found.decision, found.agent) == ("assign", "Desk 1")
    assert found.evidence.calibrated_by == "lm"
    assert len(engine.prompts) == 1
    alone = program_with(None, Registry(agents), {"transfer.right.bias": 9.0})
    assert alone("errand 1").decision == "review"


def test_agents_that_the_caller_excludes_are_not_shown_and_the_lm_decides_all_the_same():
    program, engine = stranger(ranks(("Ada", 0.95)), None, {"transfer.right.bias": 9.0})
    found = program(TASK, exclude=["Refunds"])
    assert (found.decision, found.agent) == ("assign", "Ada")
    assert "Refunds" not in engine.prompts[0].split("candidates")[-1]


def test_where_it_fails_a_person_decides():
    program, _ = stranger(lambda prompt: "I cannot say")
    found = program(TASK)
    assert (found.decision, found.evidence.calibrated_by) == ("review", "registries")
    assert found.evidence.lm_failure is not None


def test_the_packaged_lm_is_not_heard_unmeasured():
    lm, engine = recorded_lm(ranks(("Ada", 0.95)))
    lm.model = "task-delegator-embedded/SmolLM2-135M-Instruct.Q4_1-b179c952-any"
    assert program_with(lm)(TASK).decision == "review"
    capped = program_with(lm, changes={"lm.gate": 1.0})
    capped.max_lm_share = 0.5
    assert {capped(TASK).evidence.gate.withheld for _ in range(4)} == {None}
    assert not engine.prompts
    lm.model = "task-delegator-embedded/other-7b-00000000"
    assert program_with(lm)(TASK).decision == "assign"


@pytest.mark.parametrize("how", ["self", "transfer"])
def test_that_it_is_not_heard_is_a_warning(caplog, how):
    from task_delegator import load

    load("default", office_registry(), lm="embedded", calibrate=how)
    assert "packaged LM is too small to decide about agents" in caplog.text


def test_a_program_that_samples_calibrated_asks_about_what_it_would_not_assign():
    registry = office_registry()
    program, engine = stranger(ranks(("Ada", 0.95)), registry)
    known = frozenset(agent.digest() for agent in registry)
    program.calibrated_for = CalibratedAgents(known, "samples")
    for bias, calibrated_by in ((-9.0, "lm"), (9.0, "samples")):
        program.knobs.set({"confidence.assign_threshold": 0.9, "confidence.correct.bias": bias})
        found = program(TASK)
        assert (found.decision, found.evidence.calibrated_by) == ("assign", calibrated_by)
    assert len(engine.prompts) == 1


def test_a_program_that_labels_calibrated_without_an_lm_asks_none():
    registry = office_registry()
    program, engine = stranger(ranks(("Ada", 0.95)), registry)
    known = frozenset(agent.digest() for agent in registry)
    program.calibrated_for = CalibratedAgents(known, transfer=True)
    program.knobs.set({"confidence.assign_threshold": 1.0})
    assert program(TASK).decision == "review"
    assert not engine.prompts


def beside_a_changed_one(by: CalibratedBy, transfer: bool) -> tuple[Delegator, Any]:
    """Return a program to which the agent of ``TASK`` alone is new, and its LM's engine."""
    others = (make_agent(f"Clerk {i}", f"files form {i}") for i in range(12))
    registry = Registry([*office_registry(), *others])
    program, engine = stranger(ranks(("Refunds", 0.95), ("Travel", 0.04)), registry)
    known = frozenset(agent.digest() for agent in registry if agent.name != "Refunds")
    program.calibrated_for = CalibratedAgents(known, by, transfer=transfer)
    program.knobs.set({"confidence.assign_threshold": 1.0})
    return program, engine


def test_no_lm_decides_about_a_changed_agent_where_samples_calibrated_the_others():
    program, engine = beside_a_changed_one("samples", transfer=False)
    for found in (program(TASK), *program.delegate_many([TASK])):
        assert (found.decision, found.evidence.gate.settled) == ("review", "uncalibrated")
        assert "is new or has changed" in found.reason
    assert not engine.prompts


def test_an_lm_decides_about_a_changed_agent_alone_under_transfer():
    program, engine = beside_a_changed_one("labels", transfer=True)
    assert program.may_ask_lm()
    found = program(TASK)
    assert (found.decision, found.agent) == ("assign", "Refunds")
    assert found.evidence.calibrated_by == "lm"
    asked = len(engine.prompts)
    # Hardly for the changed one, and less certain than an LM's word would be asked about.
    program.knobs.set({"retrieval.temperature": 0.05, "transfer.assign_threshold": 1.0})
    said = program("book a train")
    assert (said.decision, said.evidence.calibrated_by) == ("review", "labels")
    assert len(engine.prompts) == asked == 1


def test_an_lm_that_the_program_was_compiled_with_keeps_its_weight():
    values = KnobValues().replaced({**UNSURE, "lm.weight": 0.7, "lm.orders": 2})
    asking = values.asking_below(0.9).lm
    assert (asking.gate, asking.weight, asking.orders, asking.shortlist) == (0.9, 0.7, 2, 12)
    other = values.replaced({"lm.weight": 0.0}).asking_below(0.8).lm
    assert (other.gate, other.weight, other.orders, other.shortlist) == (0.8, 2.0, 1, 19)


@pytest.mark.parametrize("cap", [None, 0.5])
def test_many_at_once_are_decided_as_one_by_one(cap):
    tasks = [TASK, "book a train", "my salary is late", "wrong VAT id"]
    program, engine = stranger(ranks(("Ada", 0.95), ("Refunds", 0.05)))
    program.max_lm_share = cap
    many = program.delegate_many(tasks)
    asked = sum(found.evidence.lm is not None for found in many)
    assert asked == len(engine.prompts) == (len(tasks) if cap is None else 2)
    program.max_lm_share = None
    for task, found in zip(tasks, many, strict=True):
        if found.evidence.lm is not None:
            alone = program(task)
            assert (alone.decision, alone.agent) == (found.decision, found.agent)
            assert alone.confidence == pytest.approx(found.confidence, abs=1e-6)
            assert alone.evidence.lm == found.evidence.lm


def test_dspy_context_gives_the_lm_too():
    (lm, _), program = recorded_lm(ranks(("Ada", 0.95))), program_with(None)
    with dspy.context(lm=lm):
        assert program(TASK).agent == "Ada"
    assert program(TASK).agent == "Refunds"


def test_who_believes_the_programs_own_scale_gets_no_lm():
    program, engine = stranger(ranks(("nobody", 0.95)))
    program.calibrated_for = CalibratedAgents(frozenset({"0" * 16}), trusted=True, transfer=True)
    assert program(TASK).evidence.calibrated_by is None
    assert not engine.prompts


def test_a_rubric_that_was_fitted_elsewhere_is_not_asked_for():
    changes = {"lm.rubric_low": 0.0, "lm.rubric_high": 1.0, "confidence.correct_with_lm.bias": 9.0}
    program, engine = stranger(ranks(("Ada", 0.6), ("Refunds", 0.4)), None, changes)
    found = program(TASK)
    assert (found.decision, len(engine.prompts)) == ("review", 1)
    assert found.confidence == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(("own", "decision"), [(0.5, "assign"), (0.96, "review")])
def test_its_word_has_to_reach_what_was_aimed_at_on_samples(own, decision):
    registry = office_registry()
    changes = {"confidence.assign_threshold": own, "confidence.correct.bias": -9.0}
    program, _ = stranger(ranks(("Ada", 0.95)), registry, changes)
    known = frozenset(agent.digest() for agent in registry)
    program.calibrated_for = CalibratedAgents(known, "samples")
    found = program(TASK)
    assert (found.decision, found.evidence.calibrated) == (decision, False)


def test_an_agent_without_samples_is_for_the_lm_where_samples_calibrated():
    registry = office_registry()
    program, engine = stranger(ranks(("Events", 0.97)), registry)
    program.calibrated_for = CalibratedAgents(
        frozenset(agent.digest() for agent in registry), "samples"
    )
    found = program("invite people to our webinar")
    assert (found.decision, found.agent, len(engine.prompts)) == ("assign", "Events", 1)
    alone = program_with(None, registry)
    alone.calibrated_for = program.calibrated_for
    said = alone("invite people to our webinar")
    assert said.decision == "review"
    assert "has no sample requests" in said.reason


def test_a_ranking_that_adds_up_to_little_is_not_made_more_of():
    two = Registry([make_agent("Ada", "angry customers"), make_agent("Refunds", "pays money")])
    program, _ = stranger(ranks(("Ada", 0.5), ("Refunds", 0.03), ("nobody", 0.02)), two)
    found = program(TASK)
    assert found.decision == "review"
    assert found.confidence == pytest.approx(0.5, abs=0.02)


def test_a_caller_of_few_agents_asks_as_many_at_once():
    """The LM is for this caller's agents alone: labels calibrated the program for all of them."""
    desks = [
        make_agent(f"Desk {n}", f"errand {n}", needs=("x",) if n > 5 else ()) for n in range(20)
    ]
    program, engine = stranger(
        ranks(("Desk 1", 0.95)), Registry(desks), {"transfer.right.bias": -9}
    )
    known = frozenset(agent.digest() for agent in desks)
    program.calibrated_for = CalibratedAgents(known, transfer=True)
    assert not program.may_ask_lm()
    assert program.may_ask_lm([])
    program.max_lm_share = 0.25
    many = program.delegate_many([f"errand {n}" for n in range(4)], permissions=[])
    assert len(engine.prompts) == sum(found.evidence.lm is not None for found in many) == 1


def test_the_packaged_lm_is_not_started_and_counts_for_no_cap(caplog):
    from task_delegator import load

    pair = Registry([make_agent("Ada", "angry customers"), make_agent("Refunds", "pays money")])
    program = load("default", pair, lm="embedded", calibrate="transfer", max_lm_share=0.5)
    assert "every task of a caller who may use all is reviewed" in caplog.text
    for _ in range(3):
        found = program(TASK)
        assert (found.decision, found.evidence.gate.withheld) == ("review", None)
    assert not program.may_ask_lm()


def test_a_reviewer_is_told_whom_the_lm_is_for():
    program, _ = stranger(ranks(("Ada", 0.6), ("Refunds", 0.4)), None, {"transfer.lm_weight": 0.01})
    found = program(TASK)
    assert (found.decision, found.agent) == ("review", "Refunds")
    assert found.reason.endswith("The LM is for Ada.")
    agreed, _ = stranger(ranks(("Refunds", 0.6), ("Ada", 0.4)))
    assert "The LM is for" not in agreed(TASK).reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "without a calibration: calibrate='transfer' asks it"),
        ({"calibrate": "transfer"}, None),
        ({"lm": "embedded"}, None),
    ],
)
def test_who_brings_an_lm_that_is_not_asked_is_told(caplog, options, said):
    from task_delegator import load

    lm, _ = recorded_lm(ranks(("Ada", 0.95)))
    load("default", office_registry(), **{"lm": lm, **options})
    told = [r.getMessage() for r in caplog.records if "the LM is not asked" in r.getMessage()]
    assert len(told) == (said is not None)
    assert all(said in message for message in told)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_its_word_counts_for_no_more_than_it_says(first: float, none: float, mass: float):
    right, fits = probabilities_of_lm(first, none, mass)
    assert 0.02 <= right <= 0.98
    assert 0.02 <= fits <= 0.98
    assert right <= max(first * mass, 0.02) + 1e-12
    assert 1 - fits <= max(none * mass, 0.02) + 1e-12
    assert right <= fits + 1e-12
