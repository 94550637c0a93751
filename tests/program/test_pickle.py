"""A program goes to another process without its locks and what it can build again.

By cloudpickle, as DSPy's signatures that are made at run time need it.
"""

import copy

import cloudpickle
import dspy
import pytest
from small import HashedWords

from task_delegator.delegator import Delegator
from task_delegator.embedders import embedder


@pytest.mark.parametrize("embed", [HashedWords, embedder], ids=["words", "default"])
@pytest.mark.fault("cloudpickle", "a program", holds="The same answers.")
def test_a_pickled_program_gives_the_same_answers(office, embed):
    program = Delegator(office, embed(), calibrated_for=frozenset())
    expected = program("refund my order")
    copy = cloudpickle.loads(cloudpickle.dumps(program))
    found = copy("refund my order")
    assert (found.top3, found.confidence) == (expected.top3, expected.confidence)
    copy.registry.remove("Refunds")
    assert "Refunds" in office
    assert "Refunds" not in {candidate.name for candidate in copy("refund my order").top3}


@pytest.mark.parametrize("give", ["the program", "its predictors"])
@pytest.mark.fault(
    "cloudpickle", "`copy.deepcopy` of a program", holds="The same answers, its LM kept."
)
@pytest.mark.fault(
    "cloudpickle",
    "a program with an LM object",
    holds="Refused in one line, as its key would be pickled.",
)
def test_a_program_that_holds_an_lm_object_is_not_pickled_with_its_key(office, give):
    lm = dspy.LM("openai/none", api_key="sk-OPENSESAME")
    program = Delegator(office, HashedWords(), lm=lm if give == "the program" else None)
    if give == "its predictors":
        program.set_lm(lm)
    with pytest.raises(TypeError, match="name the LM by its spec"):
        cloudpickle.dumps(program)
    for twin in (copy.deepcopy(program), program.deepcopy()):
        assert twin.resolve_lm().kwargs["api_key"] == "sk-OPENSESAME"
        assert twin("refund my order").top3 == program("refund my order").top3


def test_a_program_that_names_its_lm_is_pickled_without_a_key(office, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-OPENSESAME")
    program = Delegator(office, HashedWords(), lm="openai/none")
    assert program.resolve_lm() is not None
    pickled = cloudpickle.dumps(program)
    assert b"SESAME" not in pickled
    assert cloudpickle.loads(pickled)._lm == "openai/none"
