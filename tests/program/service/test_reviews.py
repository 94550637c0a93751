"""What waits for a person: who sees it, who may settle it, and that it outlives the service."""

import json
from itertools import product

import pytest
from small import HashedWords, office_registry
from starlette.testclient import TestClient

from task_delegator.cli import main
from task_delegator.delegator import Delegator
from task_delegator.feedback import read_feedback
from task_delegator.registry import Agent
from task_delegator.service import (
    Access,
    Caller,
    Desk,
    Token,
    create_app,
    read_tokens,
    token_sha256,
)
from task_delegator.tracing import TraceLog, still_waiting

HERE = "https://delegator.example"
HIDDEN = "Payroll"  # it needs a permission
TASK = "I was charged twice, refund me"
REVIEWED = {"confidence.assign_threshold": None, "scope.threshold": None}


def token(name, permissions, *, reviewer=False):
    allowed = None if permissions is None else frozenset(permissions)
    digest = token_sha256(f"of {name}")
    return Token(name=name, sha256=digest, permissions=allowed, reviewer=reviewer)


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer of {name}"}


class Office:
    """A service of which nothing is left but its files when it ends."""

    def __init__(self, folder, tokens):
        self.decisions, self.feedback = folder / "decisions.jsonl", folder / "feedback.jsonl"
        self.tokens = tokens
        self.registry = office_registry()

    def started(self):
        delegator = Delegator(self.registry, HashedWords())
        delegator.knobs.set(REVIEWED)
        desk = Desk(delegator, self.feedback, TraceLog(None, self.decisions))
        desk.reviews.restore(still_waiting(self.decisions, self.feedback))
        return TestClient(create_app(desk, Access(self.tokens)), base_url=HERE)

    def ask(self, name, task=TASK, **wishes):
        """Ask a service that ends thereafter; return the id of the request."""
        with self.started() as client:
            given = client.post("/delegate", json={"task": task, **wishes}, headers=bearer(name))
            assert given.json()["decision"] == "review"
            return given.json()["request_id"]

    def waiting(self, name):
        with self.started() as client:
            return client.get("/reviews", headers=bearer(name)).json()

    def say(self, name, request_id, agent):
        with self.started() as client:
            said = {"request_id": request_id, "correct_agent": agent}
            return client.post("/feedback", json=said, headers=bearer(name)).status_code


@pytest.fixture
def office(tmp_path):
    """Two applications, a person who reviews all that they ask, and one with few permissions."""
    tokens = [
        token("web", []),
        token("bank", None),
        token("ann", None, reviewer=True),
        token("tom", [], reviewer=True),
    ]
    return Office(tmp_path, tokens)


def test_what_waits_for_a_person_waits_again_after_the_service_ended(office):
    first = office.ask("web", "book a train", exclude=["Travel"])
    second = office.ask("web")
    waiting = office.waiting("web")
    assert [one["delegation"]["request_id"] for one in waiting] == [first, second]
    assert [one["task"] for one in waiting] == ["book a train", TASK]
    assert [one["asked_by"] for one in waiting] == ["web", "web"]
    assert all(one["delegation"]["top3"] for one in waiting)
    assert "Travel" not in json.dumps(waiting[0])  # as it was asked
    assert office.waiting("bank") == []
    assert office.say("web", first, "Events") == 204
    assert [one["task"] for one in office.waiting("web")] == [TASK]


def test_feedback_after_the_service_ended_is_about_what_was_decided_then(office):
    request_id = office.ask("web")
    [decided] = map(json.loads, office.decisions.read_text().splitlines())
    assert office.say("web", request_id, None) == 204
    [row] = read_feedback(office.feedback)
    known = {key: decided[key] for key in ("request_id", "task", "agent", "decision", "confidence")}
    assert {key: getattr(row, key) for key in known} == known


def test_what_needs_no_person_does_not_wait_after_the_service_ended(office):
    everybody = [agent.name for agent in office.registry]
    body = {"task": 'say "review"', "exclude": everybody}
    with office.started() as client:
        given = client.post("/delegate", json=body, headers=bearer("web")).json()
        assert given["decision"] == "none"
    [decided] = map(json.loads, office.decisions.read_text().splitlines())
    assert decided["requested"] is None
    assert office.waiting("web") == []


def test_a_review_of_before_names_no_agent_that_is_hidden_now(office):
    office.ask("web")
    agent = next(agent for agent in office.registry if agent.name == "Refunds")
    guarded = agent.model_copy(update={"required_permissions": frozenset({"x"})})
    office.registry.replace(guarded)
    assert "Refunds" not in json.dumps(office.waiting("web"))
    assert len(office.waiting("ann")) == 1


def test_a_token_that_lost_a_permission_sees_nothing_of_what_it_asked_with_it(office):
    office.ask("bank")
    assert office.waiting("bank")
    office.tokens[1] = token("bank", ["hr.pay"])
    assert office.waiting("bank") == []


def test_a_reviewer_sees_what_others_asked_and_says_who_was_right(office):
    request_id = office.ask("web")
    [waiting] = office.waiting("ann")
    assert (waiting["asked_by"], waiting["task"]) == ("web", TASK)
    assert office.say("bank", request_id, None) == 404  # no reviewer
    # Whom the application may not use may be right.
    assert office.say("web", request_id, HIDDEN) == 404
    assert office.say("ann", request_id, HIDDEN) == 204
    assert [row.source for row in read_feedback(office.feedback)] == ["ann"]
    assert (office.waiting("ann"), office.waiting("web")) == ([], [])


def test_a_reviewer_sees_nothing_that_was_asked_with_more_permissions(office):
    of_bank, of_web = office.ask("bank"), office.ask("web")
    assert [one["delegation"]["request_id"] for one in office.waiting("tom")] == [of_web]
    assert office.say("tom", of_bank, None) == 404
    seen = {one["delegation"]["request_id"] for one in office.waiting("ann")}
    assert seen == {of_bank, of_web}


def test_whoever_sees_a_delegation_may_use_every_agent_that_it_could_name():
    sets = [None, *map(frozenset, ([], ["a"], ["b"], ["a", "b"]))]
    agents = [
        Agent(name=f"agent {needed}", description="x", required_permissions=needed)
        for needed in sets[1:]
    ]
    for own, asked, reviewer in product(sets, sets, (False, True)):
        caller = Caller("ann", own, reviewer)
        named = {agent.name for agent in agents if agent.permits(asked)}
        usable = {agent.name for agent in agents if agent.permits(own)}
        if named <= usable:
            assert caller.sees("ann", asked) or (asked is None and own == {"a", "b"})
        else:
            assert not caller.sees("ann", asked)
        assert caller.sees("web", asked) == (reviewer and caller.sees("ann", asked))


@pytest.mark.parametrize("broken", ["decisions", "feedback"])
def test_a_service_starts_beside_a_log_that_cannot_be_read(office, broken, caplog):
    office.ask("web")
    with getattr(office, broken).open("a", encoding="utf-8") as file:
        file.write('{"decision": "review"}\n')
    assert office.waiting("web") == []
    assert "is not taken over" in caplog.text
    assert f"{broken}.jsonl: line" in caplog.text


def test_a_torn_row_and_rows_of_before_are_left_out(office):
    request_id = office.ask("web")
    [row] = map(json.loads, office.decisions.read_text().splitlines())
    del row["requested"]  # as services wrote it that did not restore
    torn = json.dumps(row)[:-5]
    with office.decisions.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row | {"request_id": "older"}) + "\n" + torn)
    assert [one["delegation"]["request_id"] for one in office.waiting("web")] == [request_id]


def test_a_log_of_years_is_read_to_its_last_reviews(office, monkeypatch):
    monkeypatch.setattr("task_delegator.tracing.decisions.MOST_WAITING", 3)
    ids = [office.ask("web", f"refund order {number}") for number in range(5)]
    assert office.say("web", ids[-1], None) == 204
    waiting = still_waiting(office.decisions, office.feedback)
    assert [row.request_id for row in waiting] == ids[1:4]


def test_the_command_makes_tokens_for_reviewers(tmp_path, capsys):
    path = tmp_path / "tokens.json"
    assert main(["token", "ann", "--tokens", str(path), "--reviewer"]) == 0
    assert main(["token", "web", "--tokens", str(path), "--permissions", "a"]) == 0
    ann, web = read_tokens(path)
    assert (ann.reviewer, web.reviewer) == (True, False)
    made = capsys.readouterr().out.split()[0]
    assert Access([ann, web]).caller(f"Bearer {made}") == Caller("ann", None, True)
