"""What waits for a person: who sees it, who may settle it, and that it outlives the service."""

import json
import os
from itertools import product

import pytest
from small import HashedWords, office_registry
from starlette.testclient import TestClient

from task_delegator.cli import main
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.feedback import read_feedback
from task_delegator.registry import Agent
from task_delegator.service import (
    Access,
    Caller,
    Desk,
    Token,
    add_token,
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
        access = Access(self.tokens)
        desk.restore(still_waiting(self.decisions, self.feedback), access)
        return TestClient(create_app(desk, access), base_url=HERE)

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


def row_of(office, **changes):
    """Return a row that the service wrote, changed."""
    [row] = map(json.loads, office.decisions.read_text().splitlines())
    asked = row["requested"] | changes.pop("requested", {})
    return row | {"requested": asked} | changes


def write(office, *rows):
    lines = [json.dumps(row, separators=(",", ":")) + "\n" for row in rows]
    office.decisions.write_text("".join(lines))


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": 7},
        {"confidence": float("nan")},
        {"task": " "},
        {"task": "x" * 30_000},
        {"task": "half \ud800"},
        {"requested": {"k": 0}},
        {"requested": {"exclude": [str(number) for number in range(1001)]}},
        {"requested": {"permissions": "all"}},
        {"more": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_row_that_cannot_wait_again_leaves_the_others(office, changes, caplog):
    request_id = office.ask("web")
    good = row_of(office)
    write(office, row_of(office, request_id="0" * 32, **changes), good)
    waiting = office.waiting("web")
    assert [one["delegation"]["request_id"] for one in waiting] == [request_id]
    assert "decisions.jsonl: line 1: no decision that can wait again" in caplog.text


SPELLINGS = {
    "with spaces": {},
    "sorted": {"sort_keys": True, "separators": (",", ":")},
    "with wide spaces": {"separators": (" ,\t", " :  ")},
    "not escaped": {"ensure_ascii": False},
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_files_that_another_program_wrote_anew_are_read_alike(office, spelling):
    settled = office.ask("web", "book a train to K\u00f6ln")
    request_id = office.ask("web", "book a plane to K\u00f6ln")
    assert office.say("web", settled, None) == 204
    for path in (office.decisions, office.feedback):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        lines = [json.dumps(row, **spelling) + "\r\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
    assert [row.request_id for row in still_waiting(office.decisions, office.feedback)] == [
        request_id
    ]


def test_lines_that_cannot_be_read_are_counted(office, caplog):
    request_id = office.ask("web")
    whole = office.decisions.read_bytes()
    cut, garbled = whole[:60] + b"\n", whole.replace(b'"task"', b'task"')
    office.decisions.write_bytes(b"\n" + cut + whole + garbled + b'["review"]\n')
    office.feedback.write_bytes(b'{"request_id": "1"}\n{"request_id": \n\n[]\n')
    found = still_waiting(office.decisions, office.feedback)
    assert [row.request_id for row in found] == [request_id]
    assert "decisions.jsonl: line 2: no decision that can wait again" in caplog.text
    assert "0 are too many, 3 lines are no such decisions" in caplog.text
    assert "feedback.jsonl: 2 lines cannot be read, the first is line 2" in caplog.text


@pytest.mark.parametrize("broken", ["decisions", "feedback"])
def test_a_service_starts_beside_a_file_that_cannot_be_read(office, broken, caplog):
    office.ask("web")
    path = getattr(office, broken)
    path.unlink(missing_ok=True)
    path.mkdir()
    assert still_waiting(office.decisions, office.feedback) == []
    assert "is not taken over" in caplog.text
    assert str(path) in caplog.text


def test_feedback_on_a_review_that_was_made_again_is_about_what_was_decided(office):
    office.ask("web")
    write(office, row_of(office, agent="Travel", confidence=0.4))
    with office.started() as client:
        [waiting] = client.get("/reviews", headers=bearer("web")).json()
        found = waiting["delegation"]
        assert found["agent"] != "Travel"  # of now
        said = {"request_id": found["request_id"], "correct_agent": found["agent"]}
        assert client.post("/feedback", json=said, headers=bearer("web")).status_code == 204
    [row] = read_feedback(office.feedback)
    assert (row.agent, row.confidence, row.correct) == ("Travel", 0.4, False)


def test_a_caller_with_many_reviews_pushes_out_none_of_another(office, monkeypatch):
    monkeypatch.setattr("task_delegator.tracing.waiting._MOST", 5)
    of_bank = office.ask("bank")
    bank = row_of(office)
    others = [bank["requested"] | {"caller": "web", "permissions": []}] * 20
    rows = [bank | {"request_id": f"{n:032}", "requested": one} for n, one in enumerate(others)]
    write(office, bank, *rows)
    waiting = still_waiting(office.decisions, office.feedback)
    last = [row["request_id"] for row in rows[-4:]]
    assert [row.request_id for row in waiting] == [of_bank, *last]


def test_texts_that_look_like_reviews_push_out_none(office, monkeypatch):
    monkeypatch.setattr("task_delegator.tracing.waiting._MOST", 1)
    request_id = office.ask("web")
    row = row_of(office)
    forged = '"decision":"review","requested":{"caller":"web"}'
    others = [
        row | {"request_id": "1", "decision": "assign", "agent": "review", "requested": None},
        row | {"request_id": "2", "decision": "assign", "task": forged, "requested": None},
    ]
    write(office, row, *others)
    waiting = still_waiting(office.decisions, office.feedback)
    assert [one.request_id for one in waiting] == [request_id]


def test_what_waits_again_has_a_limit_in_bytes_too(office, monkeypatch):
    office.ask("web")
    rows = [row_of(office, request_id=f"{number:032}") for number in range(4)]
    rows[1]["requested"]["history"] = ["x" * 10_000]
    write(office, *rows)
    size = len(office.decisions.read_bytes())
    monkeypatch.setattr("task_delegator.tracing.waiting._BYTES", size - 1)
    waiting = still_waiting(office.decisions, office.feedback)
    assert [row.request_id for row in waiting] == [row["request_id"] for row in rows[1:]]


def test_a_request_that_stands_twice_in_a_log_waits_once(office):
    office.ask("web")
    row = row_of(office)
    mine = row["requested"] | {"caller": "bank", "permissions": None}
    write(office, row, row, row | {"requested": mine})
    assert len(office.waiting("ann")) == 1
    assert office.waiting("bank") == []


def test_a_log_with_a_byte_order_mark_and_an_open_end_is_read(office):
    office.ask("web")
    whole = office.decisions.read_bytes()
    office.decisions.write_bytes(b"\xef\xbb\xbf" + whole.removesuffix(b"\n"))
    assert len(office.waiting("web")) == 1


def test_what_no_token_shows_does_not_wait(office, caplog):
    office.ask("bank")
    office.tokens[:] = [token("web", [])]
    with office.started() as client:
        assert len(client.app.state.desk.reviews) == 0
    assert "1 reviews of before wait no more: no token shows them" in caplog.text


def test_an_agent_that_is_hidden_while_reviews_are_made_again_is_not_named(office, monkeypatch):
    """Making a hundred again takes seconds, in which a watched file may change."""
    office.ask("web", "book a train")
    with office.started() as client:
        desk = client.app.state.desk
        client.post("/delegate", json={"task": TASK}, headers=bearer("web"))
        renew = desk.reviews.renew

        def hide(given, shown):
            agent = next(agent for agent in office.registry if agent.name == "Refunds")
            guarded = agent.model_copy(update={"required_permissions": frozenset({"x"})})
            office.registry.replace(guarded)
            return renew(given, shown)

        monkeypatch.setattr(desk.reviews, "renew", hide)
        named = client.get("/reviews", headers=bearer("web")).text
    assert "Refunds" not in named


def test_two_rows_of_one_token_are_refused(tmp_path):
    """One copied to make a reviewer of it opened the tasks of all to who has the token."""
    path = tmp_path / "tokens.json"
    add_token(path, "web", [])
    rows = json.loads(path.read_text())
    rows.append(rows[0] | {"name": "ann", "permissions": None, "reviewer": True})
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError, match="two rows are of one token"):
        read_tokens(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_log(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    office_registry().save(tmp_path / "agents.json")
    agents = ["--agents", str(tmp_path / "agents.json")]
    assert main(["serve", *agents, "--decisions", str(tmp_path / "pipe")]) == 2
    assert "is a pipe: name a file" in capsys.readouterr().err


def test_a_torn_row_and_rows_of_before_are_left_out(office):
    request_id = office.ask("web")
    [row] = map(json.loads, office.decisions.read_text().splitlines())
    del row["requested"]  # as services wrote it that did not restore
    torn = json.dumps(row)[:-5]
    with office.decisions.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row | {"request_id": "older"}) + "\n" + torn)
    assert [one["delegation"]["request_id"] for one in office.waiting("web")] == [request_id]


def test_a_log_of_years_is_read_to_its_last_reviews(office, monkeypatch):
    monkeypatch.setattr("task_delegator.tracing.waiting._MOST", 3)
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
