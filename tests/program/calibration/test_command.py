"""``task-delegator calibrate``, and the first minute of somebody who labeled nothing."""

import json

import pytest
from small import make_agent

from experiments.studies.scope import TERSE
from task_delegator.artifact import calibrate_itself
from task_delegator.artifact.store import load
from task_delegator.cli import main
from task_delegator.registry.agents import Agent, Registry

_SAMPLES = {
    "Travel": ("book a flight to Rome", "hotel in Porto", "train to Kiel", "cancel my trip"),
    "Refunds": ("I want my money back", "charged twice", "refund the order", "wrong amount"),
    "Payroll": ("my salary is late", "where is my payslip", "bonus missing", "overtime pay"),
    "Legal": ("check this contract", "is the clause valid", "liability cap", "licence terms"),
    "Garden": ("cut the hedge", "mow the lawn", "plant roses", "compost is full"),
    "Kitchen": ("cook a soup", "bake bread", "plan the menu", "dessert for ten"),
    "IT": ("laptop is broken", "reset my password", "no wifi", "install the printer"),
    "Events": ("rent a hall", "invite the guests", "order catering", "band for the party"),
}


@pytest.fixture
def agents(tmp_path):
    path = tmp_path / "agents.json"
    rows = [
        {"name": name, "user_request_samples": list(samples)} for name, samples in _SAMPLES.items()
    ]
    path.write_text(json.dumps(rows))
    return path


def test_a_registry_with_samples_is_calibrated_and_the_program_kept(agents, tmp_path, capsys):
    out = tmp_path / "mine"
    assert main(["calibrate", "--agents", str(agents), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "32 samples, each held out:" in said
    assert "would be assigned if their agent were missing" in said
    program = load(out, agents)
    assert program("please mow the lawn").evidence.calibrated_by == "samples"
    loaded = load("default", agents, calibrate="self")
    assert loaded.knobs.values == program.knobs.values
    assert main(["delegate", "mow", "--agents", str(agents), "--calibrate", "self"]) == 0


def test_an_agent_without_samples_is_a_persons_to_judge(agents, caplog):
    """What was fitted to samples says nothing of it, neither that it is right nor that none is."""
    rows = json.loads(agents.read_text())
    rows.append({"name": "Lights", "description": "Lights, lamps and spotlights of the stage."})
    agents.write_text(json.dumps(rows))
    program = load("default", agents, calibrate="self")
    assert "1 of 9 agents have no user_request_samples" in caplog.text
    for task in ("The spotlight of the stage flickers.", "lights", "lamps"):
        given = program(task)
        assert (given.decision, given.agent) == ("review", "Lights"), task
        assert given.reason.startswith("Lights has no sample requests")
        assert not given.evidence.calibrated
    assert program("please mow the lawn").evidence.calibrated_by == "samples"
    by_name = {agent.name: agent for agent in program.registry}
    assert not program.coverage(None, by_name["Lights"]).complete  # whoever put it first, an LM too
    assert program.coverage(None, by_name["Garden"]).complete
    many = program.delegate_many(["lights", "please mow the lawn"])
    assert [answer.evidence.calibrated for answer in many] == [False, True]


def test_few_samples_whose_agent_is_missing_would_be_assigned(agents):
    """Whatever precision is aimed at: the floor sees to it."""
    made = calibrate_itself(load("default", agents), target=0.5)
    assert made.near_assigned <= 0.06 + 1 / made.samples < made.assigned


def test_too_few_samples_are_bad_input(agents, capsys):
    agents.write_text(json.dumps(json.loads(agents.read_text())[:3]))
    assert main(["calibrate", "--agents", str(agents)]) == 2
    assert "cannot calibrate itself" in capsys.readouterr().err


@pytest.mark.parametrize("trusted", [False, True])
def test_twenty_terse_agents_are_never_told_that_nobody_fits(trusted):
    registry = Registry(Agent(name=name, description=said) for name, said in TERSE.items())
    delegate = load("default", registry, calibrate="self", allow_uncalibrated=trusted)
    hotel, cook = delegate("book me a hotel in Oslo"), delegate("What should I cook on Sunday?")
    assert hotel.agent == "travel"
    assert hotel.decision == ("assign" if trusted else "review")
    # Who trusts the scale all the same has everything assigned that is clear among the agents.
    assert cook.decision == "review" or (trusted and cook.decision != "none")
    assert len(cook.top3) == 3


def test_few_permitted_agents_are_left_to_a_person():
    names = [f"Desk {i}" for i in range(12)]
    registry = Registry(make_agent(n, n, needs=() if n == "Desk 1" else (n,)) for n in names)
    delegate = load("default", registry)
    digests = frozenset(agent.digest() for agent in registry)
    delegate.calibrated_for = type(delegate.calibrated_for)(digests)
    assert delegate("Desk 1", permissions=None).evidence.calibrated
    given = delegate("Desk 1", permissions=[])
    assert (given.decision, given.evidence.calibrated) == ("review", False)
