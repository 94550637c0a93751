"""The confidence of other registries: where it counts, and where a person reviews all the same."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest
from small import HashedWords, office_registry

from task_delegator.calibration import CalibratedAgents
from task_delegator.decision import Assessment, transferred, transfers
from task_delegator.delegation import Features, Signals
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues, TransferWeights
from task_delegator.registry import Agent, Registry

TASK = "refund my order"
SURE = {"transfer.right.bias": 3.0, "transfer.assign_threshold": 0.9}


def stranger(
    changes: Mapping[str, float] = MappingProxyType({}), registry: Registry | None = None
) -> Delegator:
    """Return a program that was calibrated on other agents, and is sure of everything."""
    other = CalibratedAgents(frozenset({"0" * 16}), transfer=True)
    program = Delegator(registry or office_registry(), HashedWords(), calibrated_for=other)
    program.knobs.set({**SURE, **changes})
    return program


def test_a_registry_of_strangers_alone_gets_decisions():
    found = stranger()(TASK)
    assert (found.decision, found.agent) == ("assign", "Refunds")
    assert found.evidence.calibrated_by == "registries"
    assert found.confidence == pytest.approx(0.9526, abs=1e-4)
    assert "95%" in found.reason


def test_below_its_threshold_a_person_reviews_and_is_told_the_probability():
    found = stranger({"transfer.right.bias": 0.0})(TASK)
    assert found.decision == "review"
    assert "probability of 50%, 90% is needed to assign" in found.reason


def test_none_is_said_by_what_other_registries_showed_and_not_on_the_scale_of_other_agents():
    own = {"scope.threshold": 0.99, "transfer.right.bias": -9.0, "transfer.fits.bias": -3.0}
    assert stranger(own)("zzz qqq").decision == "review"
    found = stranger({**own, "transfer.none_threshold": 0.4})("zzz qqq")
    assert (found.decision, found.agent) == ("none", None)
    assert found.confidence == pytest.approx(0.9526, abs=1e-4)
    assert found.evidence.calibrated_by == "registries"
    fits = {**own, "transfer.fits.bias": 0.0, "transfer.none_threshold": 0.4}
    assert stranger(fits)("zzz qqq").decision == "review"


def test_none_is_not_said_where_nobody_lets_other_registries_decide():
    program = stranger({"transfer.fits.bias": -3.0, "transfer.none_threshold": 0.4})
    program.calibrated_for.transfer = False
    assert program("zzz qqq").decision == "review"


def test_whoever_is_likely_right_fits():
    program = stranger({"transfer.fits.bias": -3.0, "transfer.none_threshold": 0.4})
    found = program(TASK)
    assert found.decision == "assign"
    assert found.evidence.in_scope_score == found.confidence == pytest.approx(0.9526, abs=1e-4)


def test_nothing_is_assigned_on_the_scale_of_others_unless_that_is_said():
    program = stranger()
    program.calibrated_for.transfer = False
    found = program(TASK)
    assert (found.decision, found.agent) == ("review", "Refunds")
    assert found.confidence == pytest.approx(0.9526, abs=1e-4)
    assert "95%, as other registries show" in found.reason
    assert (found.evidence.calibrated, found.evidence.calibrated_by) == (False, "registries")


def test_agents_that_the_program_knows_keep_its_own_scale():
    registry = office_registry()
    program = stranger(registry=registry)
    known = frozenset(agent.digest() for agent in registry)
    program.calibrated_for = CalibratedAgents(known, transfer=True)
    assert program(TASK).evidence.calibrated_by == "labels"
    registry.add(Agent(name="New"))
    assert program(TASK).evidence.calibrated_by == "registries"


def test_a_size_that_it_was_not_fitted_on_is_a_warning(caplog):
    from task_delegator import load

    load("default", Registry(list(office_registry())[:2]), calibrate="transfer")
    said = (
        "holds for 3 to 1000 agents, not for 2: every task of a caller who may use all is reviewed"
    )
    assert said in caplog.text


def test_who_believes_the_programs_own_scale_is_told_that_it_is_that(caplog):
    from task_delegator import load

    load("default", office_registry(), calibrate="transfer", allow_uncalibrated=True)
    assert "own confidence is believed, not that of other registries" in caplog.text
    assert "is reviewed" not in caplog.text


@pytest.mark.parametrize("aim", [{"target_precision": 0.99}, {"out_of_scope_share": 0.1}])
def test_an_aim_that_its_threshold_was_not_chosen_for_is_refused(aim):
    from task_delegator import load

    with pytest.raises(InputError, match="takes no target precision"):
        load("default", office_registry(), calibrate="transfer", **aim)


def test_who_excludes_agents_is_reviewed():
    assert stranger()(TASK).decision == "assign"
    given = stranger()(TASK, exclude=["Travel"])
    assert given.decision == "review"
    assert given.reason.startswith("How sure this is was not measured where agents are excluded")


@pytest.mark.parametrize("hidden", [1, 2, 200])
def test_hidden_agents_change_nothing_of_what_is_decided(hidden):
    """Neither that there are some, nor that with them there are more than it was fitted on."""
    open_to_all = [agent for agent in office_registry() if not agent.required_permissions]
    more = [Agent(name=f"Fraud {n}", required_permissions=frozenset({"x"})) for n in range(hidden)]
    alone, beside = (
        stranger(registry=Registry(agents))(TASK, permissions=[])
        for agents in (open_to_all, [*open_to_all, *more])
    )
    assert alone.decision == "assign"
    assert alone.evidence.calibrated_by == "registries"
    for field in ("decision", "agent", "top3", "confidence", "reason", "evidence"):
        assert getattr(beside, field) == getattr(alone, field), field


def test_a_caller_of_too_few_agents_is_reviewed_however_many_there_are():
    registry = Registry(
        [*office_registry(), Agent(name="Fraud", required_permissions=frozenset({"x"}))]
    )
    few = [agent.name for agent in registry if not agent.required_permissions][2:]
    for name in few:
        registry.replace(Agent(name=name, required_permissions=frozenset({"y"})))
    assert stranger(registry=registry)(TASK, permissions=[]).decision == "review"


def test_a_misspelled_name_excludes_nobody():
    assert stranger()(TASK, exclude=["Travle"]).decision == "assign"


@pytest.mark.parametrize(("agents", "known"), [(2, False), (3, True), (150, True), (151, False)])
def test_sizes_that_it_was_not_fitted_on_are_reviewed(agents, known):
    values = KnobValues().replaced(SURE)
    assert transfers(agents, values) is known
    assert not transfers(agents, values.replaced({"transfer.assign_threshold": None}))


def test_who_trusts_the_programs_own_scale_gets_it():
    program = stranger()
    program.calibrated_for = CalibratedAgents(frozenset({"0" * 16}), trusted=True)
    assert not program.transfers()
    assert program(TASK).evidence.calibrated_by is None


def test_the_confidence_is_a_logistic_model_of_what_retrieval_shows():
    signals = Signals(description=0.4, sample=0.6, maxsim=0.5)
    features = replace(Features(), margin=2.0)
    values = KnobValues().replaced(
        {
            "transfer.right.margin": 1.0,
            "transfer.right.log_agents": -1.0,
            "transfer.right.sampled_sample": 2.0,
        }
    )
    alone = Assessment(confidence=0.1, in_scope_score=0.2, features=features)
    # 2 - ln(1) + 2 * 0.5 * 0.6
    found = transferred(alone, signals, 1, 0.5, values)
    assert found.confidence == pytest.approx(1 / (1 + 2.718281828 ** -(2.0 + 0.6)))
    assert found.in_scope_score == 0.2
    fitted = {"transfer.fits.margin": 2.0, "transfer.none_threshold": 0.3}
    again = transferred(alone, signals, 1, 0.5, values.replaced(fitted))
    assert again.in_scope_score == pytest.approx(1 / (1 + 2.718281828**-4.0))


def test_every_feature_is_one_that_is_read():
    from task_delegator.decision import transfer_features

    seen = transfer_features(Signals(), Features(), 3, 1.0)
    assert set(TransferWeights.features()) <= seen.keys()


@pytest.mark.parametrize(
    ("sampled", "first", "expected"),
    [(1.0, 1.0, (0.0, 0.0)), (0.0, 0.0, (0.0, 0.0)), (0.25, 1.0, (0.75, 0.0)),
     (0.25, 0.0, (0.0, 0.25))],
)  # fmt: skip
def test_who_has_samples_counts_where_teams_differ(sampled, first, expected):
    from task_delegator.decision import transfer_features

    seen = transfer_features(Signals(first_sampled=first), Features(), 8, sampled)
    assert (seen["first_sampled"], seen["first_bare"]) == expected


@pytest.mark.parametrize(("bias", "read"), [(3.0, False), (-1.0, True)])
def test_whether_a_task_goes_on_from_an_earlier_one_is_told_on_the_scale_that_holds(bias, read):
    """The scale of other agents took every new subject for one that goes on, or none."""
    other = {"confidence.correct.bias": -9.0 if bias > 0 else 9.0, "scope.share": None}
    program = stranger({"transfer.right.bias": bias, "transfer.right.logit": 0.5, **other})
    found = program("and the other one?", history=[TASK])
    assert (found.evidence.read_as is not None) is read


def test_a_task_that_names_an_agent_is_not_told_that_nobody_fits():
    nobody = {"transfer.right.bias": -9.0, "transfer.fits.bias": -3.0}
    program = stranger({**nobody, "transfer.none_threshold": 0.4})
    assert program("zzz qqq").decision == "none"
    found = program("zzz qqq for Travel")
    assert (found.decision, found.evidence.mentions) == ("review", ("Travel",))
    assert found.reason.endswith("The task names Travel.")
