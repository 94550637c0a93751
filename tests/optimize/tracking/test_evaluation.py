"""Evaluations in MLflow: datasets, runs, scores per request, two programs side by side."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import artifacts
from mlflow.exceptions import MlflowException
from mlflow.genai import datasets as genai_datasets
from mlflow.genai import evaluate as mlflow_evaluate
from mlflow.genai.scorers import list_scorers
from mlflow.tracking import MlflowClient
from small import delegator, office_registry, only

from optimize.__main__ import main
from optimize.data import load_dataset
from optimize.evaluation import compare_outcomes, evaluate_all
from optimize.tracking import evaluation as tracking
from optimize.tracking import track_evaluations
from optimize.tracking.models import program_digest
from optimize.tracking.rows import rows_of
from optimize.tracking.scores import answered, expected, mlflow_scorers, scores
from optimize.tracking.store import connect
from task_delegator.artifact import find
from task_delegator.delegator import Delegator
from task_delegator.tracing import NOBODY, VERDICT, shown_names

# MLflow's own, where it is given a list of rows.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    pytest.mark.usefixtures("no_store_left_over"),
]

HIDDEN = "Payroll"  # the office's agent that needs a permission
REQUESTS = {
    "Refunds": ["my money should come back", "refund this broken kettle"],
    "Invoices": ["a second copy of the invoice", "the VAT id on my bill is wrong"],
    "Payroll": ["why was my salary late", "the bonus is missing on the payslip"],
    "Travel": ["book the night train to Porto"],
}
OUTSIDE = ["sing me a song", "what is the meaning of life"]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "office"
    folder.mkdir()
    office_registry().save(folder / "agents.json")
    rows = [{"expected_agent_name": a, "user_requests": texts} for a, texts in REQUESTS.items()]
    rows[0]["acceptable_agent_names"] = ["Ada"]
    (folder / "ground_truth.json").write_text(json.dumps(rows))
    outside = [{"user_request": text, "split": "test"} for text in OUTSIDE]
    (folder / "out_of_scope.json").write_text(json.dumps(outside))
    several = {"task": "refund me and book a train", "expected_agent_names": ["Refunds", "Travel"]}
    (folder / "multi.json").write_text(json.dumps([several | {"split": "test"}]))
    return load_dataset(folder)


def programs(data) -> list[tuple[str, Delegator]]:
    """Two programs that answer differently: as it comes, and by descriptions alone."""
    first, second = delegator(data.registry), delegator(data.registry)
    second.knobs.values = only("description")
    return [("first", first), ("second", second)]


def tracked(data, **settings) -> list[str]:
    evaluations = [
        (name, evaluate_all(program, data, "test", name=name)) for name, program in programs(data)
    ]
    answers = [(name, evaluated.outcomes) for name, evaluated in evaluations]
    comparison = compare_outcomes(answers, data, "test")
    return track_evaluations(evaluations, comparison, data, "test", **settings)


def test_a_request_is_scored_by_what_is_answered_and_expected():
    outputs = {
        "decision": "assign", "top3": ["B", "A", "C"], "confidence": 0.95,
        "in_scope_score": 0.7, "lm_calls": 1, "tokens": 12,
    }  # fmt: skip
    right = {"top1": False, "top3": True, "decision_right": False, "scope_right": True,
             "confidence_bin": "0.9 to 1.0", "lm_asked": True, "tokens": 12}  # fmt: skip
    assert scores(outputs, {"agent": "A"}) == right
    assert scores(outputs, {"agent": NOBODY}) == {
        "decision_right": False, "scope_right": False, "lm_asked": True, "tokens": 12,
    }  # fmt: skip
    review = scores(outputs | {"decision": "review"}, {"agent": "A", "acceptable": ["A", "B"]})
    assert "decision_right" not in review
    assert review["top1"] is True
    unasked = scores(outputs | {"lm_calls": 0, "tokens": 0}, {"agent": "A"})
    assert not {"lm_asked", "tokens"} & set(unasked)
    none = scores(outputs | {"decision": "none"}, {"agent": NOBODY})
    assert none["decision_right"] is True


@pytest.mark.slow
def test_two_programs_are_evaluation_runs_over_one_dataset(store, data):
    runs = tracked(data)
    client: Any = MlflowClient()
    found: list[Any] = list(genai_datasets.search_datasets([connect()]))
    (split,) = [d for d in found if "multi" not in d.name]
    assert split.name.startswith("office/test@")
    assert {"split": "test", "in_scope": "7", "out_of_scope": "2"}.items() <= split.tags.items()
    assert split.tags["digest"] in split.name
    assert split.tags["source"].endswith("office")
    (several,) = [d for d in found if "multi" in d.name]
    assert several.tags["several_agents"] == "1"
    assert len(split.to_df()) == 9
    wins = []
    inputs = [client.get_run(run_id).inputs.dataset_inputs[0].dataset for run_id in runs]
    assert inputs[0].digest == inputs[1].digest  # of the first, which made the dataset, as well
    for run_id in runs:
        run = client.get_run(run_id)
        assert run.data.tags["mlflow.runType"] == "genai_evaluate"
        assert [i.dataset.name for i in run.inputs.dataset_inputs] == [split.name]
        wins.append((run.data.metrics["versus_wins"], run.data.metrics["versus_losses"]))
        assert run.data.metrics["top1/mean"] == pytest.approx(run.data.metrics["top1"])
        assert run.data.metrics["versus_p"] <= 1
        assert run.data.metrics["top1_ci95_low"] <= run.data.metrics["top1"]
    assert wins[0] == wins[1][::-1]
    low = [client.get_run(r).data.metrics["versus_ci95_low"] for r in runs]
    high = [client.get_run(r).data.metrics["versus_ci95_high"] for r in runs]
    assert low == [-bound for bound in reversed(high)]


@pytest.mark.slow
def test_every_request_has_its_scores_and_those_that_differ_say_so(store, data):
    runs = tracked(data)
    for run_id in runs:
        traces: Any = mlflow.search_traces(run_id=run_id, return_type="list", locations=[connect()])
        by_id = {trace.info.client_request_id: trace for trace in traces}
        assert set(by_id) == {row.id for row in rows_of(data, "test")} - {"test/multi/0"}
        table = artifacts.load_dict(f"runs:/{run_id}/tables/differing.json")
        place = table["columns"].index("request")
        differing = {row[place] for row in table["data"]}
        assert differing
        for request, trace in by_id.items():
            said = {a.name: a.value for a in trace.info.assessments}
            assert (said["compared"] != "same answer") == (request in differing)
            assert {"scope_right", "agent"} <= set(said)
            assert ("top1" in said) == ("/out/" not in request)
            assert trace.info.tags["scope"] == (
                "out of scope" if "/out/" in request else "in scope"
            )
            by_people = {a.name for a in trace.info.assessments if a.source.source_type == "HUMAN"}
            several = request in ("test/0", "test/1")
            assert by_people == ({"agent", "acceptable"} if several else {"agent"})


@pytest.mark.slow
@pytest.mark.parametrize("texts", [False, True])
def test_texts_and_hidden_agents_are_in_the_store_only_where_texts_are_asked_for(
    store, data, tmp_path, texts
):
    tracked(data, texts=texts)
    held = b"".join(
        path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and data.path not in path.parents
    )
    for text in (*(t for row in REQUESTS.values() for t in row), *OUTSIDE, HIDDEN):
        assert (text.encode() in held) == texts, text
    assert (shown_names(data.registry)[HIDDEN].encode() in held) != texts


@pytest.mark.slow
def test_a_part_of_a_large_split_is_tracked_those_that_differ_first(store, data, monkeypatch):
    monkeypatch.setattr(tracking, "MOST_TRACKED", 3)
    runs = tracked(data)
    for run_id in runs:
        traces: Any = mlflow.search_traces(run_id=run_id, return_type="list", locations=[connect()])
        assert len(traces) == 3
        said = [{a.name: a.value for a in t.info.assessments}["compared"] for t in traces]
        assert "same answer" not in said
        assert MlflowClient().get_run(run_id).data.metrics["n"] == 7


@pytest.mark.slow
@pytest.mark.fault(
    "tracking server dies", "`evaluate --track`", holds="Warnings; the result is printed."
)
def test_a_store_that_fails_costs_the_record_and_not_the_result(store, data, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError("http://me:hunter2@store")

    monkeypatch.setattr(tracking, "run_evaluation", fail)
    assert tracked(data) == []
    warned = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len([w for w in warned if "not tracked whole (OSError)" in w]) == 2
    assert "hunter2" not in str(warned)


@pytest.mark.slow
def test_the_scores_are_scorers_for_a_function_of_ones_own(store, data):
    connect()
    names = {agent.name: agent.name for agent in data.registry}
    ((_, program), _) = programs(data)
    rows = [
        {"inputs": {"task": r.text}, "expectations": expected(r.acceptable, names)}
        for r in data.splits["test"][:2]
    ]

    def as_scored(task: str):
        return answered(program(task), names)

    def as_dictionary(task: str):
        return program(task).to_dict()

    found = [
        mlflow_evaluate(data=rows, scorers=mlflow_scorers(), predict_fn=predict).metrics
        for predict in (as_scored, as_dictionary)
    ]
    assert {"top1/mean", "top3/mean", "scope_right/mean", "tokens/mean"} <= set(found[0])
    assert found[0] == found[1]
    assert found[0]["top3/mean"] > 0


def test_mlflow_registers_the_scores_as_judges_only_where_it_may_run_their_code(store):
    with pytest.raises(MlflowException, match="disabled by default"):
        mlflow_scorers()[0].register(experiment_id=connect())


@pytest.mark.slow
def test_the_command_tracks_and_lists_what_differs(store, data, capsys, monkeypatch):
    made = dict(programs(data))
    monkeypatch.setattr("task_delegator.artifact.load", lambda name, *_, **__: made[name])
    monkeypatch.setattr("task_delegator.artifact.find", Path)
    monkeypatch.setattr("task_delegator.artifact.read_manifest", lambda folder: {})
    command = ["evaluate", "first", "second", "--data", str(data.path), "--no-lm"]
    assert main([*command, "--differing", "2", "--track"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "points" in lines[0]
    assert 1 <= len(lines[1:]) <= 2
    assert all("is right; first says" in line for line in lines[1:])
    runs = MlflowClient().search_runs([connect()], "tags.kind = 'evaluation'")
    assert {run.data.params["program"] for run in runs} == {"first", "second"}
    assert [judge.name for judge in list_scorers(experiment_id=connect())] == [VERDICT]


@pytest.mark.slow
def test_a_run_names_its_program_by_what_it_is_and_not_where_it_lies(store, data, tmp_path):
    shipped, copy = find("default"), tmp_path / "moved" / "copy"
    shutil.copytree(shipped, copy)
    ((_, program), _) = programs(data)
    answers = evaluate_all(program, data, "test", name="a program")
    for name in ("default", str(copy), "nowhere"):
        track_evaluations([(name, answers)], None, data, "test")
    runs: Any = MlflowClient().search_runs([connect()], "tags.kind = 'evaluation'")
    named = {run.data.params["program"]: run.data.tags.get("program_sha256") for run in runs}
    assert named.pop("nowhere") is None
    assert set(named.values()) == {program_digest("default")}
    assert len(named) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--trace-texts"], "give --track too"),
        (["--differing", "3"], "name a second one"),
    ],
)
def test_options_that_have_no_effect_are_refused(options, says, capsys):
    assert main(["evaluate", "default", "--no-lm", *options]) == 2
    assert says in capsys.readouterr().err
