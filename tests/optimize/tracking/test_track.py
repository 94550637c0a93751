"""What is tracked: runs, children and traces in a real store, and nothing that is secret."""

import json
import logging
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import dspy
import mlflow
import pytest
from mlflow import artifacts
from mlflow.tracking import MlflowClient
from recorded import recorded_lm
from small import HashedWords, office_registry, small_dataset
from tracking import mlflow_server
from wire import Provider

from optimize.__main__ import main
from optimize.config import Options
from optimize.data.dataset import Request, load_dataset
from optimize.joint.search import JointTrial
from optimize.pipeline import compile as compiling
from optimize.pipeline.compile import compile_program
from optimize.prompts.candidates import PromptCandidate
from optimize.search.retrieval import Trial
from optimize.tracking import run as track
from optimize.tracking import spans as traces
from optimize.tracking.spans import trace_requests
from optimize.tracking.store import connect
from task_delegator.artifact.store import load
from task_delegator.delegator import Delegator
from task_delegator.errors import LMError, StoreError
from task_delegator.knobs import KnobValues
from task_delegator.registry.agents import Registry
from task_delegator.tracing import redact

pytestmark = pytest.mark.usefixtures("no_store_left_over")
KEY, HEADER = "sk-2718281828", "Bearer-3141592653"
TASK = "please refund my order"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def secretive():
    """An LM at a provider on loopback that is given a key and a header."""
    with Provider() as provider:
        settings = {"api_key": KEY, "headers": {"X-Team": HEADER}, "cache": False}
        yield dspy.LM("openai/gpt-4o-mini", api_base=provider.url, **settings)


# Traces


@pytest.fixture
def asking() -> Delegator:
    program = Delegator(office_registry(), HashedWords(), on_lm_failure="raise")
    program.knobs.set({"lm.ask_settled": True})
    return program


def test_spans_are_those_of_the_modules_and_the_lm(asking):
    lm, _ = recorded_lm(lambda prompt: '{"slot": "A"}')
    spans = trace_requests(asking, [Request(TASK, ("Refunds",))], lm)
    names = {span.id: span.name for span in spans}
    parents = {(names.get(span.parent or ""), span.name) for span in spans}
    assert {
        (None, "Delegator"),
        ("Delegator", "Retrieve"),
        ("Delegator", "AssessConfidence"),
        ("Delegator", "ClassifyAgent"),
        ("ClassifyAgent", "Predict"),
        ("Predict", "LM"),
    } <= parents
    assert [span.name for span in spans if span.parent is None] == ["Delegator"]
    assert all(span.started <= span.ended for span in spans)


@pytest.mark.slow
@pytest.mark.parametrize("texts", [False, True])
def test_texts_are_in_the_spans_only_where_they_are_asked_for(asking, secretive, texts):
    spans = trace_requests(asking, [Request(TASK, ("Refunds",))], secretive, texts=texts)
    told = str(spans)
    for text in (TASK, "Choose the agent", "pays money back", '{"slot": "B"}'):
        assert (text in told) == texts, text
    assert "'Refunds'" in told
    assert KEY not in told
    assert HEADER not in told


def test_what_is_raised_is_shown_by_its_type(asking, monkeypatch):
    recorders = []
    monkeypatch.setattr(
        traces, "delegate_all", lambda *_: recorders.append(dspy.settings.callbacks)
    )

    trace_requests(asking, [Request(TASK, ("Refunds",))], None)
    ((recorder,),) = recorders

    def refuse(prompt):
        raise RuntimeError(f"{KEY} is no key for {prompt}")

    with dspy.context(lm=recorded_lm(refuse)[0], callbacks=[recorder]), pytest.raises(LMError):
        asking(TASK)
    errors = {span.name: span.error for span in recorder.spans if span.error}
    assert errors["Delegator"] == "LMError"
    assert "LM" in errors
    assert KEY not in str(recorder.spans)


def test_objects_that_nobody_knows_are_shown_by_their_type():
    values = {"lm": recorded_lm(str)[0], "bytes": b"secret", "more": list(range(30)), "a b": 1}
    assert redact(values, {}, texts=False) == {
        "lm": "<LM>",
        "bytes": "<bytes>",
        "more": [*range(20), "<10 more>"],
        "<3 characters>": 1,
    }


@pytest.mark.slow
def test_a_compilation_is_tracked_without_secrets(data, store, secretive, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "embedder", lambda spec: HashedWords())
    dataset = load_dataset(data)
    options = Options(
        tmp_path / "program", trials=5, max_lm_calls=160, target_precision=1.0, traces=2,
        optimizer="labeled-few-shot",
    )  # fmt: skip
    compiled = compile_program(dataset, options, secretive)
    run = mlflow.get_run(compiled.run_id)
    assert run.info.status == "FINISHED"
    tags = {key: run.data.tags[key] for key in ("kind", "optimizer", "lm", "embedder", "data")}
    assert tags == {
        "kind": "compile",
        "optimizer": "labeled-few-shot",
        "lm": "openai/gpt-4o-mini",
        "embedder": "minilm-tuned",
        "data": str(data),
    }
    assert run.data.tags["commit"]
    client = MlflowClient()
    plots = {f.path for f in client.list_artifacts(compiled.run_id, "plots")}
    assert plots == {f"plots/{name}.png" for name in ("reliability_test", "search", "trials")}
    assert kinds(compiled.run_id) == {"candidate": 1}

    found = client.search_traces(locations=[run.info.experiment_id], run_id=compiled.run_id)
    assert len(found) == 2
    for trace in found:
        assert {"Delegator", "Retrieve", "ClassifyAgent", "Predict", "LM"} <= {
            span.name for span in trace.data.spans
        }
        told = trace.to_json()
        assert not [r.text for r in dataset.splits["validation"] if r.text in told]
        assert not [text for text in ("Choose the agent", KEY, HEADER) if text in told]
    held = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(held) > 10
    assert not [secret for secret in (KEY, HEADER) if any(secret.encode() in h for h in held)]


@pytest.mark.slow
def test_texts_are_traced_where_they_are_asked_for(data, store, tmp_path):
    common = ["compile", "--data", str(data), "--no-lm", "--trials", "1", "--out", "program"]
    assert main([*common, "--traces", "1", "--trace-texts"]) == 0
    assert main([*common, "--traces", "0"]) == 0
    client = MlflowClient()
    (trace,) = client.search_traces(locations=[connect()])
    told = json.loads(trace.to_json())
    texts = [r.text for r in load_dataset(data).splits["validation"]]
    root = next(span for span in told["data"]["spans"] if span["name"] == "Delegator")
    assert json.loads(root["attributes"]["mlflow.spanInputs"])["task"] in texts


def kinds(parent: str) -> dict[str, int]:
    """Return how many children of each kind a run has."""
    client, counts = MlflowClient(), {}
    for child in client.search_runs([connect()], f"tags.`mlflow.parentRunId` = '{parent}'"):
        assert child.info.status == "FINISHED"
        counts[child.data.tags["kind"]] = counts.get(child.data.tags["kind"], 0) + 1
    return counts


# Steps, tables and children


def trial(number: int) -> Trial:
    knobs = KnobValues().replaced({"retrieval.k": number + 3})
    return Trial(number, knobs, 0.5 + number / 10, 0.9, -1.0)


@pytest.mark.slow
def test_trials_are_steps_and_one_table_and_candidates_are_children_all_logged_once(store):
    trials = [trial(n) for n in range(3)]
    demo = {"task": "a", "candidates": "b", "slot": "A"}
    tried = [PromptCandidate(0.5, "Pick.", (demo,)), PromptCandidate(None, "Choose.", ())]
    client = MlflowClient()
    with track.run("once", {"kind": "compile"}) as run:
        torso = {"mlflow.parentRunId": run.id, "kind": "candidate", "number": "1"}
        client.create_run(connect(), tags=torso)
        run.log_trials(trials)
        run.log_candidates(tried[:1], "copro")
    with track.run("once", {"kind": "compile"}, resume_id=run.id) as again:
        again.log_trials(trials)
        again.log_candidates(tried, "copro")
    assert again.id == run.id
    assert not again.store_failed
    assert kinds(run.id) == {"candidate": 2}
    steps = client.get_metric_history(run.id, "search_best_top1")
    assert [(m.step, m.value) for m in steps] == [(n, t.top1) for n, t in enumerate(trials)]
    table = artifacts.load_dict(f"runs:/{run.id}/tables/trials.json")
    assert table["columns"] == ["trial", "top1", "recall_at_k", "log_likelihood", "retrieval.k"]
    assert [row[0] for row in table["data"]] == [0, 1, 2]
    children = client.search_runs([connect()], f"tags.`mlflow.parentRunId` = '{run.id}'")
    first = next(c for c in children if c.data.tags["number"] == "0")
    assert first.data.tags["optimizer"] == "copro"
    assert first.data.tags["stage"] == "candidate"
    assert (first.data.metrics, first.data.params) == ({"score": 0.5}, {"demos": "1"})
    uri = f"runs:/{first.info.run_id}/prompt"
    assert artifacts.load_text(f"{uri}/instructions.txt") == "Pick."
    assert artifacts.load_dict(f"{uri}/demos.json") == {"demos": [demo]}


@pytest.mark.slow
def test_of_a_joint_search_the_front_alone_is_children(store):
    points = [
        JointTrial(n, KnobValues(), "plain", n, (n > 0, True), tokens=100.0 * n) for n in range(3)
    ]
    with track.run("joint", {"kind": "joint"}) as run:
        run.log_joint_trials(points, points[:2])
    assert kinds(run.id) == {"trial": 2}
    table = artifacts.load_dict(f"runs:/{run.id}/tables/trials.json")
    assert table["columns"] == ["trial", "top1", "tokens_per_task", "prompt", "demos"]
    assert len(table["data"]) == 3


@pytest.mark.slow
def test_a_run_that_was_deleted_is_begun_anew(store):
    with track.run("first", {}) as first:
        pass
    MlflowClient().delete_run(first.id)
    for gone in (first.id, "0" * 32):
        with track.run("second", {}, resume_id=gone) as second:
            assert second.id not in (first.id, gone)


# A store that fails


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri", "shows"),
    [
        ("http://me:hunter2@127.0.0.1:9", "http://127.0.0.1:9: cannot be used (Connection"),
        ("nosuch://me:hunter2@host/db?password=hunter2", "nosuch://host/db: cannot be used"),
        ("sqlite:////dev/null/mlflow.db", "sqlite:////dev/null/mlflow.db: cannot be used ("),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line_without_its_password(
    uri, shows, data, tmp_path, monkeypatch, capsys, caplog
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreError, match="MLFLOW_TRACKING_URI") as caught:
        connect()
    assert shows in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert capsys.readouterr().err == ""
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_database_is_tried_four_times(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}")  # a folder
    waits = []
    monkeypatch.setattr("mlflow.store.db.utils.time.sleep", waits.append)
    with pytest.raises(StoreError, match="cannot be used"):
        connect()
    assert len(waits) == 3
    assert sum(waits) < 2  # seconds


@pytest.mark.slow
def test_a_server_that_fails_is_tried_three_times(monkeypatch):
    tried = []

    class Failing(BaseHTTPRequestHandler):
        def do_GET(self):
            tried.append(self.path)
            self.send_error(503)

        def log_message(self, format, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")  # it is not waited for
        with pytest.raises(StoreError, match="cannot be used"):
            connect()
        server.shutdown()
    assert len(tried) == 3
    assert len(set(tried)) == 1


def test_a_file_that_is_no_database_is_one_line(data, store, tmp_path, capsys):
    (tmp_path / "mlflow.db").write_bytes(b"no database " * 1000)
    assert main(["compile", "--data", str(data), "--no-lm", "--out", "program"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "program").exists()


def interrupted(monkeypatch, by) -> None:
    """Let something happen amid a compilation."""
    fit_split = compiling.fit_split

    def fit(*arguments):
        by()
        return fit_split(*arguments)

    monkeypatch.setattr(compiling, "fit_split", fit)


def goes_on(data, tmp_path, capsys, caplog) -> str:
    """Compile, and return the run's id; the program is whole and one warning is given."""
    common = ["--data", str(data), "--no-lm", "--trials", "2"]
    caplog.clear()
    assert main(["compile", *common, "--out", str(tmp_path / "program")]) == 0
    assert "| test |" in capsys.readouterr().out
    warned = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    few = ("cannot be certified", "multi.json has 0 of split")  # so few promise nothing
    warned = [w for w in warned if not any(said in w for said in few)]
    assert [w for w in warned if "tracking failed" not in w] == []
    assert len(warned) == 1
    manifest = json.loads((tmp_path / "program" / "manifest.json").read_text())
    assert manifest["mlflow_run_id"] in warned[0]
    assert manifest["scores"]["test"]["n"] > 0
    load(tmp_path / "program", Registry.load(data / "agents.json"))(TASK)
    assert mlflow.active_run() is None
    return manifest["mlflow_run_id"]


@pytest.mark.slow
@pytest.mark.fault(
    "tracking server dies", "`compile`, a database", holds="One warning; the program is whole."
)
def test_a_compilation_outlives_its_database(data, store, tmp_path, monkeypatch, capsys, caplog):
    database = tmp_path / "mlflow.db"
    interrupted(monkeypatch, lambda: database.write_bytes(b"no database " * 1000))
    goes_on(data, tmp_path, capsys, caplog)


@pytest.mark.slow
@pytest.mark.fault(
    "tracking server dies", "`compile`, a server", holds="One warning; the program is whole."
)
def test_a_compilation_outlives_its_server(data, store, tmp_path, monkeypatch, capsys, caplog):
    with mlflow_server(store, tmp_path) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        common = ["compile", "--data", str(data), "--no-lm", "--trials", "2", "--traces", "1"]
        assert main([*common, "--out", str(tmp_path / "whole")]) == 0
        assert "View run" not in capsys.readouterr().out  # results alone
        whole = json.loads((tmp_path / "whole" / "manifest.json").read_text())["mlflow_run_id"]
        client = MlflowClient(server.url)
        assert client.get_run(whole).info.status == "FINISHED"
        assert kinds(whole) == {}
        assert {f.path for f in client.list_artifacts(whole)} >= {"program", "plots"}
        assert len(client.search_traces(locations=[connect()], run_id=whole)) == 1

        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")  # it is not waited for
        interrupted(monkeypatch, server.kill)
        goes_on(data, tmp_path, capsys, caplog)


@pytest.mark.slow
def test_mistakes_of_our_own_are_raised(store):
    mistaken: list = [None]
    with pytest.raises(AttributeError), track.run("mistake", {}) as run:
        run.log_outcomes(mistaken, "test")
    assert mlflow.get_run(run.id).info.status == "FAILED"
