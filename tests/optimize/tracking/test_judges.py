"""The judge that MLflow keeps: once per experiment, without code or texts, and it works."""

import json
import logging
import re
from typing import Any

import mlflow
import pytest
from mlflow.genai.scorers import delete_scorer, get_scorer, list_scorers
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND
from served import serve, traces_of
from small import ROOT, HashedWords, small_dataset
from wire import Provider, completion

from optimize.config import Options
from optimize.data import load_dataset
from optimize.pipeline import compile as compiling
from optimize.pipeline.compile import compile_program
from optimize.tracking import judges
from optimize.tracking.store import connect
from task_delegator.lm import language_model
from task_delegator.tracing import VERDICT

PAGE = (ROOT / "docs" / "mlflow.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.usefixtures("no_store_left_over")


def verdict_of_judge(headers, body) -> dict:
    """Answer as a provider's LM does that reads the judge's instructions."""
    answer = completion(body["model"], logprobs=False)
    said = {"result": "another agent", "rationale": "the second one does paperwork"}
    answer["choices"][0]["message"]["content"] = json.dumps(said)
    return answer


@pytest.fixture
def data(tmp_path):
    return load_dataset(small_dataset(tmp_path / "data"))


@pytest.mark.slow
def test_a_compilation_registers_a_judge_once_that_nothing_runs(store, data, monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "embedder", lambda spec: HashedWords())
    for name in ("one", "two"):
        compile_program(data, Options(tmp_path / name, trials=2), None)
    judge: Any
    (judge,) = list_scorers(experiment_id=connect())
    assert judge.name == VERDICT
    assert not judge.sample_rate
    with pytest.raises(mlflow.MlflowException, match="2"):
        get_scorer(name=VERDICT, experiment_id=connect(), version=2)


@pytest.mark.xdist_group("embedded LM")
def test_its_model_is_the_lm_of_a_provider_and_else_mlflows(store, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert judges.model_of(language_model("openai/gpt-4.1-nano")) == "openai:/gpt-4.1-nano"
    assert judges.model_of(language_model("embedded", threads=1)) is None
    assert judges.model_of(None) is None
    monkeypatch.setenv("MLFLOW_GENAI_JUDGE_DEFAULT_MODEL", "anthropic:/claude")
    assert judges.model_of(language_model("openai/gpt-4.1-nano")) is None
    judges.register(connect(), None)
    judge: Any
    (judge,) = list_scorers(experiment_id=connect())
    assert judge.model == "anthropic:/claude"


def test_another_wording_is_another_version_and_what_a_person_did_stays(store, monkeypatch):
    experiment = connect()
    judges.register(experiment, "openai:/small")
    monkeypatch.setattr(judges, "INSTRUCTIONS", judges.INSTRUCTIONS + "\nBe brief.")
    for model in ("openai:/small", "openai:/large"):
        judges.register(experiment, model)
    newest: Any = get_scorer(name=VERDICT, experiment_id=experiment)
    assert newest.instructions.endswith("Be brief.")
    assert newest.model == "openai:/small"
    with pytest.raises(mlflow.MlflowException, match="3"):
        get_scorer(name=VERDICT, experiment_id=experiment, version=3)
    delete_scorer(name=VERDICT, experiment_id=experiment, version="all")
    judges.register(experiment, "openai:/small")
    assert list_scorers(experiment_id=experiment) == []


def test_a_server_that_keeps_no_judges_costs_one_line(store, monkeypatch, caplog):
    def refuse(*_, **__):
        raise mlflow.MlflowException("no such endpoint", error_code=ENDPOINT_NOT_FOUND)

    monkeypatch.setattr(judges, "make_judge", refuse)
    with caplog.at_level(logging.WARNING):
        judges.register(connect(), None)
    assert [record.message for record in caplog.records if "judge" in record.message] == [
        "MLflow keeps no judge here (ENDPOINT_NOT_FOUND)"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("texts", [True, False])
def test_the_judge_reads_a_trace_and_answers_as_a_reviewer_does(
    store, data, monkeypatch, tmp_path, texts
):
    given, _ = serve(store, data.path, tmp_path, texts=texts)
    experiment = connect()
    (trace,) = traces_of(given[:1], experiment)
    judges.register(experiment, "openai:/gpt-4o-mini")
    judge: Any = get_scorer(name=VERDICT, experiment_id=experiment)
    with Provider(whole=verdict_of_judge) as provider:
        monkeypatch.setenv("OPENAI_API_BASE", provider.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        found = judge(trace=trace)
        (asked,) = provider.requests
    assert found.value == "another agent"
    assert found.source.source_type == "LLM_JUDGE"
    told = json.dumps(asked["messages"])
    first = given[0]["top3"][0]["name"]
    described = data.registry[first].description.splitlines()[0]
    assert first in told
    assert "found" not in trace.data.spans[0].inputs
    assert "ndarray" not in told
    assert ("xylophone quartet" in told) == (described in told) == texts
    schema = json.dumps(asked["response_format"])
    assert all(answer in schema for answer in judges.ANSWERS)


@pytest.mark.slow
def test_the_code_of_the_page_puts_its_answers_beside_those_of_persons(
    store, data, monkeypatch, tmp_path
):
    given, _ = serve(store, data.path, tmp_path, texts=True)
    experiment = connect()
    judges.register(experiment, "openai:/gpt-4o-mini")
    (code,) = re.findall(r"```\n(import mlflow\nfrom mlflow.genai.scorers.*?)```", PAGE, re.S)
    with Provider(whole=verdict_of_judge) as provider:
        monkeypatch.setenv("OPENAI_API_BASE", provider.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        exec(compile(code, "mlflow.md, Judges", "exec"), {"experiment": experiment})
    assert len(provider.requests) == len(given)
    (trace,) = traces_of(given[:1], experiment)
    answers = [one for one in trace.info.assessments if one.name == VERDICT]
    assert [(one.source.source_type, one.feedback.value) for one in answers] == [
        ("HUMAN", "another agent"),
        ("LLM_JUDGE", "another agent"),
    ]
