"""Trace, review, dataset, compile: one loop on a real server."""

import json
import logging
from typing import Any

import mlflow
import pytest
from mlflow.entities import AssessmentSource
from mlflow.exceptions import MlflowException
from mlflow.genai import review_queues
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND
from served import TASKS, serve, traces_of
from small import HashedWords, small_dataset
from starlette.testclient import TestClient
from tracking import empty_store, mlflow_server

from optimize.__main__ import main
from optimize.config import Options
from optimize.data import load_dataset
from optimize.pipeline import compile as compiling
from optimize.pipeline.compile import compile_program
from optimize.tracking import read_answers
from task_delegator.artifact import load
from task_delegator.cli import main as package_main
from task_delegator.service import Desk, create_app
from task_delegator.tracing import (
    ANOTHER,
    FIRST,
    NOBODY,
    RIGHT_AGENT,
    SEVERAL,
    VERDICT,
    Assessed,
    TraceLog,
    read_decisions,
)
from task_delegator.tracing.mlflow_store import QUEUE, MlflowStore

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_store_left_over")]


@pytest.fixture
def data(tmp_path):
    return small_dataset(tmp_path / "data")


def answer(trace: Any, who: str, verdict: str, agent: str | None = None) -> None:
    """Answer a review as MLflow's page does: a feedback and an expectation on the trace."""
    known: Any = {"trace_id": trace.info.trace_id, "source": AssessmentSource("HUMAN", who)}
    mlflow.log_feedback(name=VERDICT, value=verdict, **known)
    if agent is not None:
        mlflow.log_expectation(name=RIGHT_AGENT, value=agent, **known)


def test_a_review_becomes_a_labeled_request_and_a_program(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with mlflow_server(empty_store(tmp_path), tmp_path) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        given, _ = serve(server.url, data, tmp_path)
        experiment = MlflowStore(server.url).experiment
        traces = traces_of(given, experiment)
        reviewed = [one["decision"] == "review" for one in given]
        queue = review_queues.get_review_queue(name=QUEUE, experiment_id=experiment)
        waiting = review_queues.list_review_queue_items(queue.queue_id, status="pending")
        assert {item.item_id for item in waiting} == {
            trace.info.trace_id for trace, due in zip(traces[1:], reviewed[1:], strict=True) if due
        }
        other = given[2]["top3"][1]["name"]
        answer(traces[1], "ann", FIRST)
        answer(traces[2], "ann", ANOTHER, other)
        answer(traces[3], "bob", NOBODY)
        answer(traces[4], "bob", SEVERAL)

        merge = ["merge", "--assessments", "--decisions", "decisions.jsonl", "--data", str(data)]
        capsys.readouterr()
        assert main([*merge, "feedback.jsonl"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["assessments"] == {
            "feedback": 4, "several": 1, "unclear": 0, "without_text": 0
        }  # fmt: skip
        assert (told["added"], told["out_of_scope"], told["conflicts"]) == (3, 1, [])
        merged = load_dataset(data)
        labels = {r.text: r.expected for r in merged.splits["train"]}
        right = [given[0]["top3"][1]["name"], given[1]["top3"][0]["name"], other]
        assert [labels[task] for task in TASKS[:3]] == right
        assert TASKS[3] in merged.out_of_scope["train"]
        assert TASKS[4] not in labels
        assert main([*merge, "feedback.jsonl"]) == 0  # a second time adds nothing
        assert json.loads(capsys.readouterr().out)["known"] == 4

        monkeypatch.setattr(compiling, "embedder", lambda spec: HashedWords())
        options = Options(tmp_path / "program", trials=2, traces=0, samples_from_train=10_000)
        compile_program(merged, options, None)
        program = load(tmp_path / "program", merged.registry, embedder=HashedWords())
        # The first was labeled with the agent that had been second, whose words are others.
        found = [[choice.name for choice in program(task).top3] for task in TASKS[:3]]
        assert right[0] in found[0]
        assert [names[0] for names in found[1:]] == right[1:]


def test_answers_are_read_by_person_and_need_the_text(data, tmp_path, monkeypatch):
    uri = empty_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    given, program = serve(uri, data, tmp_path)
    traces = traces_of(given, MlflowStore(uri).experiment)
    answer(traces[1], "ann", NOBODY)
    answer(traces[1], "ann", FIRST)  # she changes her mind
    answer(traces[1], "bob", NOBODY)
    answer(traces[2], "bob", ANOTHER)
    mlflow.log_feedback(
        trace_id=traces[3].info.trace_id,
        name=VERDICT,
        value=FIRST,
        source=AssessmentSource("LLM_JUDGE", "judge"),
    )
    decisions = read_decisions(tmp_path / "decisions.jsonl")
    found = read_answers(program.registry, decisions)
    first = given[1]["top3"][0]["name"]
    assert {(row.task, row.source, row.correct_agent) for row in found.feedback} == {
        (TASKS[0], "local", given[0]["top3"][1]["name"]),
        (TASKS[1], "ann", first),
        (TASKS[1], "bob", None),
    }
    assert (found.several, found.unclear, found.without_text) == (0, 1, 0)
    assert {row.agent for row in found.feedback if row.task == TASKS[1]} == {first}
    without = read_answers(program.registry, {})
    assert (without.feedback, without.without_text) == ((), 3)


def test_a_trace_that_was_written_with_texts_needs_no_log(data, tmp_path, monkeypatch):
    uri = empty_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    _, program = serve(uri, data, tmp_path, texts=True)
    (row,) = read_answers(program.registry, {}).feedback
    assert row.task == TASKS[0]


def test_the_command_assesses_the_trace_of_a_request(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    uri = empty_store(tmp_path)
    given, _ = serve(uri, data, tmp_path)
    agents = ["--agents", str(data / "agents.json")]
    said = ["--correct", given[1]["top3"][0]["name"], "--source", "eve"]
    command = ["feedback", TASKS[1], *agents, *said, "--request-id"]
    assert package_main([*command, given[1]["request_id"]]) == 2
    assert "--mlflow URI" in capsys.readouterr().err
    assert package_main([*command, given[1]["request_id"], "--mlflow", uri]) == 0
    (trace,) = traces_of([given[1]], MlflowStore(uri).experiment)
    told = {a.name: (a.value, a.source.source_id) for a in trace.info.assessments}
    assert told == {VERDICT: (FIRST, "eve"), RIGHT_AGENT: (given[1]["top3"][0]["name"], "eve")}
    assert trace.info.tags.get("review") in (None, "done")
    assert package_main([*command, "0" * 32, "--mlflow", uri]) == 2
    assert "no trace has the request id" in capsys.readouterr().err


def test_a_corrected_verdict_takes_the_place_of_the_one_before(data, tmp_path, monkeypatch):
    uri = empty_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    given, _ = serve(uri, data, tmp_path)
    store, one = MlflowStore(uri), given[1]
    first, second = one["top3"][0]["name"], one["top3"][1]["name"]

    def holds() -> set[tuple]:
        (trace,) = traces_of([one], store.experiment)
        said = [a for a in trace.info.assessments if a.valid is not False]
        return {(a.name, a.value, a.source.source_id) for a in said}

    store.assess(Assessed(one["request_id"], first, "ann"))
    store.assess(Assessed(one["request_id"], first, "tom"))
    store.assess(Assessed(one["request_id"], second, "ann"))
    of_tom = {(VERDICT, FIRST, "tom"), (RIGHT_AGENT, first, "tom")}
    assert holds() == of_tom | {(VERDICT, ANOTHER, "ann"), (RIGHT_AGENT, second, "ann")}
    store.assess(Assessed(one["request_id"], None, "ann"))
    assert holds() == of_tom | {(VERDICT, NOBODY, "ann")}


def test_a_server_without_review_queues_gets_the_tag(data, tmp_path, monkeypatch, caplog):
    def refuse(experiment: str) -> str:
        raise MlflowException("no such endpoint", error_code=ENDPOINT_NOT_FOUND)

    monkeypatch.setattr("task_delegator.tracing.mlflow_store._queue_id", refuse)
    uri = empty_store(tmp_path)
    given, _ = serve(uri, data, tmp_path)
    traces = traces_of(given, MlflowStore(uri).experiment)
    due = ["open" if one["decision"] == "review" else None for one in given]
    due[0] = due[0] and "done"
    assert [trace.info.tags.get("review") for trace in traces] == due
    warned = [r.getMessage() for r in caplog.records if "review queue" in r.getMessage()]
    assert len(warned) == 1
    assert "ENDPOINT_NOT_FOUND" in warned[0]


@pytest.mark.fault(
    "tracking server dies", "traces of `serve`", holds="One warning; tasks are answered."
)
def test_a_server_that_goes_away_breaks_no_delegation(data, tmp_path, caplog, monkeypatch):
    # Else the log is closed while the dead server is tried again, which is another warning.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    program = load("default", load_dataset(data).registry, allow_uncalibrated=True)
    caplog.clear()  # loading warns, the first time in a process
    with mlflow_server(empty_store(tmp_path), tmp_path) as server:
        log = TraceLog(MlflowStore(server.url), tmp_path / "decisions.jsonl")
        with TestClient(create_app(Desk(program, None, log)), base_url="http://127.0.0.1") as c:
            assert c.post("/delegate", json={"task": TASKS[0]}).status_code == 200
            server.kill()
            assert c.post("/delegate", json={"task": TASKS[1]}).status_code == 200
    assert log.lost in (1, 2)  # the first may still have waited
    warned = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert "not all traces were written" in warned[0]
    assert len(read_decisions(tmp_path / "decisions.jsonl")) == 2
