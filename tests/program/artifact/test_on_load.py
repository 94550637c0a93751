"""What is told of a program whose confidence does not hold for the registry."""

import pytest
from small import ROOT

from task_delegator.artifact import load, on_load
from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry


def test_a_program_is_called_uncalibrated_once_per_registry_and_by_its_name(caplog, office):
    on_load.tell_uncalibrated.cache_clear()
    for _ in range(2):
        load("default", office)
    load("default", Registry(list(office)[:-1]))
    said = [r.getMessage() for r in caplog.records if "not calibrated" in r.getMessage()]
    other = "default: its confidence is not calibrated for this registry"
    remedy = "a person decides; calibrate='transfer' has that of other registries decide"
    assert said == [f"{other}: {remedy}"] * 2
    load("default", office, calibrate="transfer")
    assert caplog.records[-1].getMessage() == f"{other}: that of other registries decides"
    load("default", Registry(list(office)[:2]))
    assert caplog.records[-1].getMessage() == f"{other}: a person decides"
    load("default", Registry(list(office)[:2]), allow_uncalibrated=True)
    assert caplog.records[-1].getMessage() == f"{other}: it is believed all the same"
    own = load("default", ROOT / "datasets" / "agents.json").registry
    own.replace(own["Refund Desk"].model_copy(update={"description": "x"}))
    load("default", own)
    assert "of which 1 of 70 agents are new or changed (Refund Desk)" in caplog.text
    assert "a person decides about tasks that may be for them" in caplog.text


def test_agents_in_a_language_that_the_embedder_does_not_know_are_assigned_nothing(caplog):
    german = {
        "Buchhaltung": "Prüft und bezahlt Rechnungen, bucht Belege und erstellt Mahnungen.",
        "Versand": "Verschickt Pakete, verfolgt Sendungen und bearbeitet Retouren.",
        "Fuhrpark": "Verwaltet Firmenwagen, Tankkarten und Werkstatttermine.",
    }
    registry = Registry(Agent(name=name, description=said) for name, said in german.items())
    program = load("default", registry, calibrate="transfer")
    assert "3 of 3 agents are described in the language 'de'" in caplog.text
    program.knobs.set({"transfer.assign_threshold": 0.0})
    answer = program("Tankkarte weg")
    assert (answer.evidence.language, answer.decision, answer.agent) == (None, "review", "Fuhrpark")
    assert "Fuhrpark is described in the language 'de'" in answer.reason
    english = Agent(name="Cars", description="Company cars, fuel cards and garage appointments.")
    registry.swap([english, *registry])
    assert program("my fuel card is gone").decision == "assign"


@pytest.mark.parametrize("aim", [-3.0, 0.0, 1.7])
def test_samples_are_calibrated_for_a_precision_that_there_is(aim):
    agents = ROOT / "datasets" / "agents.json"
    with pytest.raises(InputError, match="must be above 0 and at most 1"):
        load("default", agents, calibrate="self", target_precision=aim)


def test_samples_know_no_share_of_requests_out_of_scope(office):
    with pytest.raises(InputError, match="takes no out-of-scope share"):
        load("default", office, calibrate="self", out_of_scope_share=0.5)


def test_what_is_no_registry_and_no_program_is_named(office):
    with pytest.raises(
        TypeError, match="registry must be a Registry or a file of agents, not list"
    ):
        load("default", list(office))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="program must be a name or a folder, not Registry"):
        load(office, "default")  # type: ignore[arg-type]
