"""A search whose trials run on Spark: each counts as it would here, and those of before stay."""

import json
import shutil
import sys

import pytest
from mlflow.tracking import MlflowClient
from small import small_dataset
from tracking import empty_store

from optimize.__main__ import main
from optimize.data import load_dataset
from optimize.search import ScoredRequests, measure
from optimize.tracking.studies import EXPERIMENT
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues

STUDY, OTHERS = 1, 5  # enqueued and run here, and on Spark


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work beside an empty store and a small data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    small_dataset(tmp_path / "data")
    return tmp_path


@pytest.fixture
def spark(monkeypatch):
    """Skip where Spark cannot start; keep what it opens to this machine."""
    pytest.importorskip("pyspark.sql", reason="the extra spark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    shown = "--conf spark.ui.enabled=false --conf spark.ui.showConsoleProgress=false"
    bound = "--conf spark.driver.bindAddress=127.0.0.1 --conf spark.driver.host=127.0.0.1"
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"{shown} {bound} pyspark-shell")


def searched(capsys, trials: int, *options: str) -> dict:
    command = ["search", "--data", "data", "--trials", str(trials), *options]
    assert main(command) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.filterwarnings("default")  # those of Spark and of MLflow with it are not ours
def test_trials_on_executors_count_as_here_and_are_not_run_again(folder, spark, capsys):
    two = ["--spark", "local-cluster[2,1,1024]"]
    done = searched(capsys, STUDY + OTHERS, *two)
    client = MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    query = "tags.`mlflow.parentRunId` != ''"
    runs = client.search_runs([experiment.experiment_id], query)
    assert [run.info.status for run in runs] == ["FINISHED"] * done["trials"]
    assert done["trials"] == STUDY + OTHERS
    processes = [json.loads(run.data.tags["user_process"]) for run in runs]
    assert len(set(processes)) == 3  # this one and the executors'
    dataset = load_dataset("data")
    index = Delegator(dataset.registry).retrieve.library.index({})
    scored = ScoredRequests(index, dataset.splits["validation"])
    for run in runs:
        there = {name: json.loads(run.data.tags[f"user_{name}"]) for name in ("knobs", "metrics")}
        assert there["metrics"] == measure(scored, KnobValues.read(there["knobs"])).metrics()
    assert searched(capsys, STUDY + OTHERS, *two) == done
    assert len(client.search_runs([experiment.experiment_id], query)) == len(runs)


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.filterwarnings("default")
def test_one_executor_finds_what_this_process_finds(folder, spark, capsys):
    there = searched(capsys, 4, "--spark", "local[1]")
    assert there == searched(capsys, 4, "--storage", "mlflow", "--study", "here")


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.filterwarnings("default")
def test_spark_that_does_not_start_is_one_line(folder, spark, capsys):
    command = ["search", "--data", "data", "--trials", "2", "--spark", "nowhere"]
    assert main(command) == 3
    assert "Spark does not start" in capsys.readouterr().err


def test_without_pyspark_the_extra_is_named(folder, capsys, monkeypatch):
    for name in ("pyspark", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["search", "--data", "data", "--spark"]) == 2
    assert "install 'task-delegator[spark]'" in capsys.readouterr().err


def test_another_storage_than_mlflows_is_refused_beside_spark(folder, capsys):
    command = ["search", "--data", "data", "--spark", "--storage", "sqlite:///study.db"]
    assert main(command) == 2
    assert "leave out --storage" in capsys.readouterr().err
