"""A program as a part of a bigger DSPy program: LMs that others set, states, demos, streams."""

import asyncio
from typing import Any

import dspy
import pytest
from recorded import recorded_lm, slot_of
from small import HashedWords, delegator, office_registry

from task_delegator.calibration import CalibratedAgents
from task_delegator.delegator import Delegator
from task_delegator.registry import Agent, Registry

TASK = "refund my order"
ASKING = {"lm.ask_settled": True, "lm.weight": 1.0, "lm.repeats": 1, "retrieval.k": 6}


class Outer(dspy.Module):
    def __init__(self, inner: Delegator) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, task: str) -> Any:
        return self.inner(task)


def calibrated(registry: Registry, bias: float) -> Delegator:
    """Return a program that says it was calibrated for its agents."""
    digests = frozenset(agent.reading_digest() for agent in registry)
    program = Delegator(registry, HashedWords(), calibrated_for=CalibratedAgents(digests))
    program.knobs.set({"confidence.correct.bias": bias, "confidence.assign_threshold": 0.5})
    return program


def test_an_lm_that_is_set_on_the_outer_program_is_asked():
    (own, first), (others, second) = (recorded_lm(slot_of("Refunds")) for _ in range(2))
    inner = Delegator(office_registry(), HashedWords(), lm=own)
    inner.knobs.set(ASKING)
    outer = Outer(inner)
    outer(TASK)
    assert (len(first.prompts), len(second.prompts)) == (2, 0)
    outer.set_lm(others)
    outer(TASK)
    assert (len(first.prompts), len(second.prompts)) == (2, 2)
    assert inner.given_lm() is others
    outer.set_lm(None)
    outer(TASK)
    assert (len(first.prompts), len(second.prompts)) == (4, 2)


def test_what_varies_the_lm_of_a_program_starts_from_the_one_that_it_was_given():
    lm, engine = recorded_lm(slot_of("Refunds"))
    inner = Delegator(office_registry(), HashedWords(), lm=lm)
    inner.knobs.set(ASKING)
    tried = dspy.BestOfN(module=inner, N=2, reward_fn=lambda inputs, found: 0.0, threshold=1.0)
    with dspy.context(lm=None):
        tried(task=TASK)
    assert {request.config.temperature for request in engine.requests} == {1.0}


def test_a_state_with_another_confidence_is_not_taken_for_one_of_these_agents(tmp_path):
    before, now = office_registry(), office_registry()
    now.replace(next(iter(now)).model_copy(update={"description": "Something else."}))
    Outer(calibrated(before, 9.0)).save(tmp_path / "state.json")
    outer = Outer(calibrated(now, -1.0))
    assert outer(TASK).evidence.calibrated_by == "labels"
    outer.load(tmp_path / "state.json")
    found = outer(TASK)
    assert found.evidence.correct_score > 0.9
    assert (found.decision, found.evidence.calibrated_by) == ("review", None)
    assert not outer.inner.calibrated()
    outer.inner.calibrated_for.transfer = True
    assert outer.inner.coverage(None, next(iter(now))).transfer
    outer.inner.calibrated_for.transfer = False
    again = outer.deepcopy()
    assert again(TASK).decision == "review"


def test_a_state_with_the_same_confidence_changes_nothing(tmp_path):
    outer = Outer(calibrated(office_registry(), 9.0))
    outer.save(tmp_path / "state.json")
    same = Outer(calibrated(office_registry(), 9.0))
    same.load(tmp_path / "state.json")
    assert (same(TASK).decision, same(TASK).evidence.calibrated_by) == ("assign", "labels")


def test_no_demo_shows_an_agent_that_the_caller_may_not_use():
    registry = office_registry()
    registry.add(Agent(name="Secret_Audit", required_permissions=frozenset({"audit"})))
    lm, engine = recorded_lm(slot_of("Refunds"))
    program = delegator(registry, ASKING)
    demos = [
        dspy.Example(task="who took the money", candidates="A) Secret Audit - fraud", slot="A"),
        {"task": "where is my copy", "candidates": "A) Invoices", "slot": "A"},
    ]
    program.classify.select.demos = demos
    with dspy.context(lm=lm):
        program(TASK)
        assert all("Secret Audit" in prompt for prompt in engine.prompts)
        engine.prompts.clear()
        program(TASK, permissions=[])
    assert engine.prompts
    assert not any("Secret" in prompt for prompt in engine.prompts)
    assert all("where is my copy" in prompt for prompt in engine.prompts)
    assert program.classify.select.demos == demos


def test_the_prior_is_asked_once_for_all_callers_where_no_demo_names_an_agent():
    lm, _ = recorded_lm(slot_of("Refunds"))
    program = delegator(office_registry(), ASKING | {"lm.prior": 1.0, "lm.shortlist": 2})
    with dspy.context(lm=lm):
        assert program(TASK).usage.lm_calls > 2
        assert program(TASK, permissions=[]).usage.lm_calls == 2


def test_a_chain_of_thought_takes_the_place_of_the_predictor():
    def answer(prompt: str) -> str:
        return slot_of("Refunds")(prompt).replace("{", '{"reasoning": "It is about money.", ')

    lm, engine = recorded_lm(answer)
    program = delegator(office_registry(), ASKING | {"lm.prior": 1.0, "lm.shortlist": 2})
    classify: Any = program.classify
    classify.select = dspy.ChainOfThought(classify.select.signature)
    with dspy.context(lm=lm):
        found = program(TASK)
    assert found.top3[0].name == "Refunds"
    assert found.evidence.lm_failure is None
    assert engine.prompts


def test_a_program_can_be_streamed():
    lm, engine = recorded_lm(slot_of("Refunds"))
    program = delegator(office_registry(), ASKING)

    async def last() -> Any:
        streamed: Any = dspy.streamify(program)
        return [piece async for piece in streamed(task=TASK)][-1]

    with dspy.context(lm=lm):
        found = asyncio.run(last())
    assert found.top3[0].name == "Refunds"
    assert found.evidence.lm_failure is None
    assert len(engine.prompts) == 2


@pytest.mark.parametrize("weighed", ["{}", "I cannot say", '{"slot": {"A": 1.0}}'])
def test_an_answer_that_can_be_read_counts_where_the_second_question_cannot(weighed):
    def answer(prompt: str) -> str:
        return slot_of("Refunds")(prompt) if "probabilities" not in prompt else weighed

    lm, _ = recorded_lm(answer)
    program = delegator(office_registry(), ASKING | {"lm.repeats": 0, "lm.orders": 1})
    with dspy.context(lm=lm):
        found = program(TASK)
    assert found.evidence.lm_failure is None
    assert found.evidence.lm is not None
    (said,) = found.evidence.lm.answers
    assert (said.source, said.picked) == ("answer", "Refunds")
