"""The champion on Spark: what a column of tasks comes to is what the program says."""

import re
import shutil
import sys

import pytest
from small import ROOT
from tracking import empty_store

from optimize.__main__ import main
from optimize.data import load_dataset
from task_delegator import load

PAGE = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
CODE = re.findall(r"```\n(import mlflow\n.*?)```", PAGE, re.S)[0]
TASKS = [
    ("A customer was billed twice for May and wants to know which charge is right.", None),
    ("What should I cook for six people on Sunday?", None),
    ("Write the invitation for our October webinar on route planning.", []),
    ("Refund order 17.", ["payments.refund"]),
    *((odd, None) for odd in ("", None, " \n\t\x1c\u3000", "x" * 20_001)),
]
USABLE = 4  # of these


@pytest.fixture(params=["local[2]", "local-cluster[2,1,1024]"], ids=["threads", "processes"])
def spark(request, monkeypatch):
    """Start Spark with two workers on this machine, without a port that others can reach.

    Workers that are threads of Spark's read the model where it lies; to processes it is sent.
    """
    sql = pytest.importorskip("pyspark.sql", reason="the extra spark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    settings = {
        "ui.enabled": "false",
        "driver.bindAddress": "127.0.0.1",
        "driver.host": "127.0.0.1",
    }
    building = sql.SparkSession.builder.master(request.param)
    for name, value in settings.items():
        building = building.config(f"spark.{name}", value)
    session = building.getOrCreate()
    yield session
    session.stop()


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.filterwarnings("default")  # those of Spark and of MLflow with it are not ours
def test_spark_says_what_the_program_says_and_a_missing_agent_is_null(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    assert main(["promote", "default", "--data", str(ROOT / "datasets"), "--no-lm"]) == 0
    tasks = spark.createDataFrame(TASKS * 10, "task string, permissions array<string>")
    names = {"spark": spark, "tasks": tasks.repartition(2)}  # a part for each worker
    exec(compile(CODE, "batch.md, On Spark", "exec"), names)
    delegate = load("default", load_dataset(ROOT / "datasets").registry)
    expected = {task: delegate(task, permissions) for task, permissions in TASKS[:USABLE]}
    assert {answer.decision for answer in expected.values()} >= {"assign", "none"}
    found = names["delegated"].collect()
    assert len(found) == 10 * len(expected)
    for row in found:
        says = expected[row.task]
        assert (row.decision, row.agent, row.reason) == (says.decision, says.agent, says.reason)
        assert row.confidence == pytest.approx(says.confidence, abs=1e-6)
        assert [one.name for one in row.top3] == [one.name for one in says.top3]
        assert row.rubric is None
