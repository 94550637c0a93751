"""Traces of a service: what is recorded, what is shown, and what a store that fails breaks."""

import logging
import threading
import time

import pytest
from recorded import recorded_lm
from small import HashedWords, make_agent, office_registry
from starlette.testclient import TestClient

from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.registry import Agent
from task_delegator.service import Access, Desk, Token, create_app, token_sha256
from task_delegator.tracing import (
    ANOTHER,
    FIRST,
    NOBODY,
    RIGHT_AGENT,
    SEVERAL,
    VERDICT,
    Assessed,
    Decided,
    LiveNames,
    Recorded,
    TraceLog,
    agent_of,
    read_decisions,
    redact,
    shown_names,
    verdict_of,
)
from task_delegator.tracing import log as logs
from task_delegator.tracing.spans import Span

TASK = "the refund of my order is late"
HERE = "http://127.0.0.1"


class Shelf:
    """A store that keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[Recorded] = []
        self.assessed: list[Assessed] = []

    def write(self, recorded: Recorded) -> None:
        self.written.append(recorded)

    def assess(self, assessed: Assessed) -> None:
        self.assessed.append(assessed)


class Broken(Shelf):
    """A store that takes nothing."""

    def write(self, recorded: Recorded) -> None:
        raise ConnectionError("http://me:hunter2@store")

    def assess(self, assessed: Assessed) -> None:
        raise ConnectionError("http://me:hunter2@store")


def office(lm=None) -> Delegator:
    registry = office_registry()
    needs = frozenset({"fraud"})
    registry.add(Agent(name="Fraud", description="refund order late", required_permissions=needs))
    return Delegator(registry, HashedWords(), lm=lm)


def asked(store, tmp_path, calls, *, delegator=None, texts=False, access=None):
    """Send requests to a service that writes to a store; return the answers, all written."""
    log = TraceLog(store, tmp_path / "decisions.jsonl", texts=texts)
    desk = Desk(delegator or office(), tmp_path / "feedback.jsonl", log)
    with TestClient(create_app(desk, access), base_url=HERE) as client:
        answers = [client.post(path, json=body) for path, body in calls(client)]
    return answers, log


def one_task(client):
    yield "/delegate", {"task": TASK, "permissions": []}


def test_a_delegation_is_one_trace_with_a_span_per_stage(tmp_path):
    store = Shelf()
    lm, _ = recorded_lm(lambda prompt: '{"slot": "A"}')
    delegator = office(lm)
    delegator.knobs.set({"lm.ask_settled": True})
    (answer,), _ = asked(store, tmp_path, one_task, delegator=delegator)
    (recorded,) = store.written
    assert recorded.decided is not None
    assert recorded.decided.request_id == answer.json()["request_id"]
    by_name = {span.name: span for span in recorded.spans}
    assert {"Retrieve", "ExpandQuery", "ClassifyAgent", "AssessConfidence", "Decide", "LM"} <= set(
        by_name
    )
    root = recorded.spans[0]
    assert (root.name, root.parent) == ("Delegator", None)
    assert root.attributes["decision"] == answer.json()["decision"]
    assert root.attributes["confidence"] == answer.json()["confidence"]
    calls = [span for span in recorded.spans if span.name == "LM"]
    assert len(calls) == root.attributes["lm_calls"] > 0
    tokens = [span.attributes["mlflow.chat.tokenUsage"] for span in calls]
    assert tokens == [{"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}] * len(calls)
    assert sum(t["total_tokens"] for t in tokens) == root.attributes["tokens"]
    assert "mlflow.llm.model" not in calls[0].attributes  # an engine of one's own has no price
    decide = by_name["Decide"]
    assert decide.started >= by_name["AssessConfidence"].ended
    assert decide.outputs["decision"] == answer.json()["decision"]


@pytest.mark.parametrize("texts", [False, True])
def test_texts_and_agents_that_need_a_permission_are_shown_only_where_texts_are_asked_for(
    tmp_path, texts
):
    store = Shelf()
    asked(store, tmp_path, lambda c: [("/delegate", {"task": TASK})], texts=texts)
    told = str([recorded.spans for recorded in store.written])
    digest = shown_names(office().registry)["Fraud"]
    assert digest.startswith("agent-")
    assert (TASK in told, "'Fraud'" in told, digest in told) == (texts, texts, not texts)
    assert "'Refunds'" in told


def test_each_step_of_a_plan_is_a_trace_of_its_own(tmp_path):
    store, delegator = Shelf(), office()
    delegator.knobs.set({"split.threshold": 0.0})
    task = "my salary is late and then send the invoice again"
    (answer,), _ = asked(
        store, tmp_path, lambda c: [("/plan", {"task": task})], delegator=delegator
    )
    steps = answer.json()["steps"]
    assert len(steps) == len(store.written) == 2
    for step, recorded in zip(steps, store.written, strict=True):
        assert recorded.decided is not None
        assert recorded.decided.request_id == step["delegation"]["request_id"]
        assert recorded.decided.task == step["task"]
        assert [s.name for s in recorded.spans if s.parent is None] == ["Delegator"]
        assert recorded.spans[0].attributes["confidence"] == step["delegation"]["confidence"]


@pytest.mark.parametrize("path", ["/plan", "/delegate"])
def test_a_trace_shows_what_was_asked_and_not_what_was_found_before(tmp_path, path):
    store, delegator = Shelf(), office()
    delegator.knobs.set({"split.threshold": 0.0})
    task = "my salary is late and then send the invoice again"
    asked(store, tmp_path, lambda c: [(path, {"task": task})] * 2, delegator=delegator, texts=True)
    assert len(store.written) == (4 if path == "/plan" else 2)
    for recorded in store.written:
        given = recorded.spans[0].inputs
        wishes = (
            {"exclude", "include"} if path == "/plan" else {"exclude", "include", "history", "k"}
        )
        assert given.keys() == {"task", "permissions"} | wishes
        assert given["task"] in task
        assert given["permissions"] is None


def test_feedback_assesses_the_trace_of_its_request(tmp_path):
    store = Shelf()

    def calls(client):
        given = client.post("/delegate", json={"task": TASK}).json()
        for name in ("Refunds", "Fraud", None):
            yield "/feedback", {"request_id": given["request_id"], "correct_agent": name}

    answers, _ = asked(store, tmp_path, calls)
    assert [answer.status_code for answer in answers] == [204] * 3
    digest = shown_names(office().registry)["Fraud"]
    assert [one.shown_agent for one in store.assessed] == ["Refunds", digest, None]
    assert {one.source for one in store.assessed} == {"local"}


def test_the_log_of_decisions_has_the_texts_by_the_id_of_the_request(tmp_path):
    (answer,), log = asked(None, tmp_path, one_task)
    assert not log.traced
    (row,) = read_decisions(tmp_path / "decisions.jsonl").values()
    given = answer.json()
    assert (row.request_id, row.task) == (given["request_id"], TASK)
    assert (row.decision, row.confidence) == (given["decision"], given["confidence"])
    (tmp_path / "decisions.jsonl").write_text('{"task": "a"}\n')
    with pytest.raises(InputError, match=r"decisions.jsonl: line 1: .*request_id"):
        read_decisions(tmp_path / "decisions.jsonl")


@pytest.mark.fault(
    "tracking server dies", "traces of `serve`, any store", holds="One warning; tasks are answered."
)
def test_a_store_that_fails_breaks_no_delegation_and_is_warned_of_once(tmp_path, caplog):
    def calls(client):
        for _ in range(3):
            given = client.post("/delegate", json={"task": TASK}).json()
            yield "/feedback", {"request_id": given["request_id"], "correct_agent": None}

    answers, log = asked(Broken(), tmp_path, calls)
    assert [answer.status_code for answer in answers] == [204] * 3
    assert log.lost == 6
    warned = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [w for w in warned if "not all traces were written (ConnectionError)" in w] == warned
    assert len(warned) == 1
    assert len(read_decisions(tmp_path / "decisions.jsonl")) == 3


@pytest.mark.fault("unwritable place", "`--decisions`", holds="A warning; tasks are answered.")
def test_decisions_that_cannot_be_written_break_no_delegation(tmp_path, caplog):
    (tmp_path / "decisions.jsonl").mkdir()
    (answer,), log = asked(Shelf(), tmp_path, one_task)
    assert answer.status_code == 200
    assert log.lost == 1


@pytest.mark.fault(
    "overload",
    "traces faster than they are written",
    holds="Dropped with a warning; tasks are answered.",
)
def test_what_comes_faster_than_it_is_written_is_dropped(monkeypatch, caplog):
    monkeypatch.setattr(logs, "_MOST_WAITING", 2)
    held, store = threading.Event(), Shelf()
    begun = threading.Event()

    def wait(assessed):
        begun.set()
        held.wait(10)
        store.assessed.append(assessed)

    monkeypatch.setattr(store, "assess", wait)
    log = TraceLog(store)
    log.put(Assessed("0", None, ""))
    assert begun.wait(10)
    for number in range(1, 6):
        log.put(Assessed(str(number), None, ""))
    held.set()
    log.close(10)
    assert [one.request_id for one in store.assessed] == ["0", "1", "2"]
    assert log.lost == 3


def test_a_store_that_is_slow_costs_no_decision(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logs, "_MOST_WAITING", 50)
    held, store = threading.Event(), Shelf()
    monkeypatch.setattr(store, "write", lambda recorded: held.wait(10))
    span, path = Span("1", None, "Delegator", "CHAIN", {}, {}, 0), tmp_path / "decisions.jsonl"

    def written() -> int:
        return len(read_decisions(path)) if path.exists() else 0

    log = TraceLog(store, path)
    for number in range(120):
        known = {"task": TASK, "agent": None, "decision": "none", "confidence": 1.0, "time": "now"}
        log.put(Recorded([span], Decided(request_id=str(number), **known)))
        until = time.monotonic() + 20
        while number % 40 == 39 and written() <= number:
            assert time.monotonic() < until, "decisions wait for traces"
            time.sleep(0.01)
    log.close(0.2)
    held.set()
    assert written() == 120
    assert log.lost > 0
    assert "not all traces were written" in caplog.text
    assert "decisions" not in caplog.text


def test_a_delegation_that_fails_is_a_trace_too(tmp_path):
    store = Shelf()

    def refuse(prompt):
        raise RuntimeError("sk-2718281828 is no key")

    delegator = Delegator(
        office_registry(), HashedWords(), lm=recorded_lm(refuse)[0], on_lm_failure="raise"
    )
    delegator.knobs.set({"lm.ask_settled": True})
    (answer,), _ = asked(store, tmp_path, one_task, delegator=delegator)
    assert answer.status_code == 502
    (recorded,) = store.written
    assert recorded.decided is None
    assert recorded.spans[0].error == "LMError"
    assert "sk-2718281828" not in str(recorded)


def test_callers_are_traced_apart(tmp_path):
    tokens = [
        Token(name=name, sha256=token_sha256(name), permissions=frozenset()) for name in ("a", "b")
    ]
    store, log = Shelf(), None
    log = TraceLog(store)
    desk = Desk(office(), None, log)
    with TestClient(create_app(desk, Access(tokens)), base_url="https://x.example") as client:
        for name in ("a", "b"):
            header = {"Authorization": f"Bearer {name}"}
            client.post("/delegate", json={"task": TASK}, headers=header)
    assert [len([s for s in r.spans if s.parent is None]) for r in store.written] == [1, 1]


@pytest.mark.parametrize(
    ("first", "right", "verdict"),
    [("Refunds", "Refunds", FIRST), ("Refunds", "Payroll", ANOTHER), ("Refunds", None, NOBODY),
     (None, None, NOBODY), (None, "Refunds", ANOTHER)],
)  # fmt: skip
def test_a_verdict_and_an_agent_say_the_same(first, right, verdict):
    assert verdict_of(first, right) == verdict
    answers = {VERDICT: verdict} | ({} if right is None else {RIGHT_AGENT: right})
    assert agent_of(answers, first) == right


@pytest.mark.parametrize(
    "answers", [{}, {VERDICT: SEVERAL}, {VERDICT: ANOTHER}, {VERDICT: ANOTHER, RIGHT_AGENT: " "}]
)
def test_an_answer_that_names_nobody_is_none(answers):
    with pytest.raises(LookupError):
        agent_of(answers, "Refunds")


def test_an_agent_that_is_hidden_while_a_task_is_delegated_is_not_named():
    registry = office_registry()
    registry.add(make_agent("open_then_hidden", TASK))
    registry.add(make_agent("hidden_then_open", TASK, needs={"pay"}))
    registry.add(make_agent("hidden_then_gone", TASK, needs={"pay"}))
    before, names = shown_names(registry), LiveNames(registry)
    registry.add(make_agent("comes_hidden", TASK, needs={"pay"}))
    registry.replace(make_agent("open_then_hidden", TASK, needs={"pay"}))
    registry.replace(make_agent("hidden_then_open", TASK))
    registry.remove("hidden_then_gone")
    known = {**before, **shown_names(registry), "hidden_then_open": before["hidden_then_open"]}
    for name in ("open_then_hidden", "hidden_then_open", "hidden_then_gone", "comes_hidden"):
        shown = redact({"top3": {name: 0.5}, "agent": name}, names, False)
        assert shown == {"top3": {known[name]: 0.5}, "agent": known[name]}
        assert known[name].startswith("agent-")
    assert redact("Refunds", names, False) == "Refunds"
    assert set(names) == set(known)
    assert len(names) == len(known)


def test_a_desk_shows_agents_as_they_are_now():
    desk = Desk(office(), traces=TraceLog(Shelf()))
    with desk._recorded() as recorder:
        desk.delegator.registry.add(make_agent("comes_hidden", needs={"pay"}))
        assert recorder._names["comes_hidden"].startswith("agent-")


@pytest.mark.fault(
    "torn line", "`--decisions`", holds="Left out with a warning; no other row is lost."
)
def test_a_torn_last_line_of_a_log_of_decisions_costs_no_other(tmp_path, caplog):
    row = '{"request_id": "a", "task": "x", "agent": null, "decision": "none", '
    row += '"confidence": 0.5, "time": "2026-01-01T00:00:00Z"}'
    log = tmp_path / "decisions.jsonl"
    log.write_text(row + "\n" + row[:40])
    assert list(read_decisions(log)) == ["a"]
    assert "torn, not read" in caplog.text
