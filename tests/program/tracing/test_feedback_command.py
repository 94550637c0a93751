"""``task-delegator feedback --request-id``: a row and its assessment, or one line that says why."""

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from small import ROOT
from tracking import empty_store

from task_delegator import cli
from task_delegator.tracing.mlflow_store import REQUEST_ID, MlflowStore, write_spans
from task_delegator.tracing.spans import Span

AGENTS = str(ROOT / "datasets" / "agents.json")
pytestmark = pytest.mark.slow


@pytest.fixture
def feedback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, uri = mlflow.get_tracking_uri(), empty_store(tmp_path)
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    store = MlflowStore(uri)
    span = Span("1", None, "Delegator", "AGENT", {}, {}, 1, ended=2)
    write_spans([span], {REQUEST_ID: "abc"}, store.experiment)
    given = ["--agents", AGENTS, "--nobody", "--mlflow", uri]
    yield lambda request_id: cli.main(["feedback", "x", *given, "--request-id", request_id])
    mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("request_id", ["def", "a' OR 1", ""])
def test_an_id_that_no_trace_has_leaves_no_row(feedback, request_id, tmp_path, capsys):
    assert feedback(request_id) == 2
    assert "request id" in capsys.readouterr().err
    assert not (tmp_path / "feedback.jsonl").exists()


@pytest.mark.parametrize(
    ("call", "rows", "said"),
    [("search_traces", 0, "nothing written"), ("log_feedback", 1, "its trace was not assessed")],
)
def test_a_store_that_refuses_is_one_line(
    feedback, call, rows, said, monkeypatch, capsys, tmp_path
):
    def refuse(**_):
        raise MlflowException("postgresql://me:secret@host\n\x1b[31m")

    monkeypatch.setattr(mlflow, call, refuse)
    assert feedback("abc") == 3
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert "secret" not in error
    log = tmp_path / "feedback.jsonl"
    assert (len(log.read_text().splitlines()) if log.exists() else 0) == rows
