"""Calibration on samples: each is asked of an index that does not hold it."""

import logging
from unittest.mock import Mock

import numpy as np
import pytest
from rerankers import SharedWords
from small import HashedWords, make_agent

from task_delegator.artifact import calibrate_itself
from task_delegator.calibration import samples
from task_delegator.calibration.samples import calibrate_on_samples, kept_calibration
from task_delegator.decision import Sample
from task_delegator.decision.confidence import confidence_of
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.registry.agents import Registry

_WORK = {
    "Travel": ("flight", "hotel", "train", "visa"),
    "Refunds": ("money back", "refund", "double charge", "wrong amount"),
    "Payroll": ("salary", "payslip", "bonus", "overtime"),
    "Legal": ("contract", "clause", "liability", "licence"),
    "Garden": ("hedge", "lawn", "roses", "compost"),
    "Kitchen": ("soup", "bread", "menu", "dessert"),
}
_ASKED = ("please see to the {}", "what about my {}", "I need a {} today", "{} for the team")


def registry() -> Registry:
    return Registry(
        [
            make_agent(
                name,
                f"does {' and '.join(things[:2])}",
                *(asked.format(t) for t, asked in zip(things, _ASKED, strict=True)),
                *(asked.format(t) for t, asked in zip(things, _ASKED[1:], strict=False)),
            )
            for name, things in _WORK.items()
        ]
    )


@pytest.fixture
def program():
    return Delegator(registry(), HashedWords(), calibrated_for=frozenset())


def test_each_sample_is_asked_once_of_an_index_without_it(program, monkeypatch):
    asked = []
    known = samples.observe

    def spy(index, query, right, knobs, rerank):
        held = {sample for agent in index.agents for sample in agent.user_request_samples}
        assert query.text not in held
        assert len(index.agents) == len(_WORK)
        asked.append(query.text)
        return known(index, query, right, knobs, rerank)

    monkeypatch.setattr(samples, "observe", spy)
    calibrate_on_samples(program.retrieve, KnobValues(), None, 0.95)
    everything = [s for agent in program.registry for s in agent.user_request_samples]
    assert sorted(asked) == sorted(everything)


def test_few_samples_choose_no_threshold_below_a_high_confidence(program):
    made = calibrate_on_samples(program.retrieve, KnobValues(), None, 0.95)
    assert made.assigned * made.samples < 100
    assert (KnobValues().replaced(made.knobs).confidence.assign_threshold or 0.0) >= 0.9
    for number, least in ((99, 0.9), (100, 0.5)):
        some = Sample.of(np.full(number, 0.5), np.ones(number, dtype=bool))
        assert samples._threshold(some, 0.97) == pytest.approx(least, abs=1e-3)
    assert samples._threshold(Sample.of(np.full(9, 0.5), np.zeros(9, dtype=bool)), 0.97) is None


def test_no_fold_takes_more_than_its_share_of_an_agents_samples():
    folds = samples._folds(list(registry()), None)
    for agent in registry():
        for fold in folds:
            assert len(fold.keys() & set(agent.user_request_samples)) <= 2


def test_of_a_large_registry_no_fewer_samples_are_asked_than_are_needed(program, monkeypatch):
    monkeypatch.setattr(samples, "_MANY", 2)
    asked = Mock(wraps=samples.observe)
    monkeypatch.setattr(samples, "observe", asked)
    calibrate_on_samples(program.retrieve, KnobValues(), None, 0.95)
    indexes = {id(call.args[0]) for call in asked.call_args_list}
    assert asked.call_count >= samples.LEAST_SAMPLES
    assert len(indexes) < len(samples._folds(list(registry()), None))


def test_a_sample_that_several_agents_have_is_right_for_each():
    agents = [*registry(), make_agent("Twin", "", "what about my flight")]
    agents.append(make_agent("Travel Two", "", "what about my flight"))
    owners = {text: own for fold in samples._folds(agents, None) for text, own in fold.items()}
    assert owners["what about my flight"] == {"Travel", "Travel Two", "Twin"}


def test_samples_that_people_wrote_are_asked_alone_where_they_suffice():
    everything = [s for agent in registry() for s in agent.user_request_samples]
    folds = samples._folds(list(registry()), everything[:30])
    assert {text for fold in folds for text in fold} == set(everything[:30])
    folds = samples._folds(list(registry()), everything[:5])
    assert sum(map(len, folds)) == len(everything)


def test_a_program_that_calibrated_itself_decides_and_says_on_what(program):
    assert program("I need a refund today").evidence.calibrated_by is None
    made = calibrate_itself(program)
    given = program("please see to the refund")
    assert given.evidence.calibrated_by == "samples"
    assert given.evidence.calibrated
    assert given.top3[0].name == "Refunds"
    assert made.samples == 42
    assert made.near_assigned <= 0.1
    evidence, values = given.evidence, program.knobs.values
    assert evidence.correct_score == confidence_of(evidence.signals, evidence.features, values)
    program.registry.add(make_agent("New", "is not calibrated"))
    assert program("please see to the refund").decision == "review"


def test_a_registry_with_few_samples_or_agents_cannot_calibrate_itself(program):
    for name in ("Travel", "Refunds"):
        program.registry.remove(name)
    with pytest.raises(InputError, match="28 user_request_samples of 4 agents"):
        calibrate_itself(program)
    assert not program.calibrated()


def test_a_calibration_is_kept_between_programs(program, monkeypatch):
    made = kept_calibration(program.retrieve, KnobValues(), None, 0.95)
    monkeypatch.setattr(samples, "calibrate_on_samples", None)
    assert kept_calibration(program.retrieve, KnobValues(), None, 0.95) == made
    with pytest.raises(TypeError):
        kept_calibration(program.retrieve, KnobValues(), None, 0.9)


def test_samples_are_reranked_as_tasks_are_without_the_sample_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own, knobs = SharedWords(), KnobValues().replaced({"retrieval.rerank": 0.5})
    program = Delegator(registry(), HashedWords(), reranker=own)
    made = kept_calibration(program.retrieve, knobs, None, 0.95)
    assert made.knobs["scope.in_scope.rerank"] != 0
    asked = {task for task, _ in own.read}
    assert asked == {s for agent in registry() for s in agent.user_request_samples}
    for task, texts in own.read:
        assert all(task not in text.split(" | ") for text in texts)
    own.read.clear()
    assert kept_calibration(program.retrieve, knobs, None, 0.95) == made
    assert own.read == []
    other = SharedWords("other")
    program = Delegator(registry(), HashedWords(), reranker=other)
    kept_calibration(program.retrieve, knobs, None, 0.95)
    assert other.read != []


def test_too_few_samples_are_a_warning_when_a_program_is_loaded(office, caplog):
    from task_delegator import load

    with caplog.at_level(logging.WARNING):
        program = load("default", office, calibrate="self")
    assert "cannot calibrate itself" in caplog.text
    assert program("refund my order").decision == "review"
    with pytest.raises(InputError, match="no way to calibrate"):
        load("default", office, calibrate="magic")  # type: ignore[arg-type]
