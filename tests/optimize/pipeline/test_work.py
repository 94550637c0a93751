"""A compilation that is killed goes on with the same command."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from mlflow.tracking import MlflowClient
from recorded import oracle, recorded_lm
from small import ROOT, HashedWords, small_dataset
from tracking import empty_store

from optimize.data.dataset import load_dataset
from optimize.pipeline import compile as compiling
from optimize.pipeline.compile import Options, compile_program
from task_delegator.artifact.store import load

TRIALS = 24


def finished(journal) -> int:
    """Return how many trials a search has finished so far; 0 before there is one."""
    if not journal.is_file():
        return 0
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    written = [json.loads(line) for line in lines if line.endswith("\n")]
    return sum(row["op_code"] == 6 and row["state"] == 1 for row in written)


@pytest.mark.slow
@pytest.mark.fault(
    "kill -9",
    "`compile`, its search",
    holds="The same command goes on: no trial is lost or repeated.",
)
def test_a_killed_search_loses_and_repeats_no_trial(tmp_path):
    data, out = small_dataset(tmp_path / "data"), tmp_path / "program"
    uri = empty_store(tmp_path)
    command = [sys.executable, "-m", "optimize", "compile", "--no-lm", "--data", str(data)]
    command += ["--trials", str(TRIALS), "--out", str(out)]
    settings = {"cwd": ROOT, "env": {**os.environ, "MLFLOW_TRACKING_URI": uri}}
    journal = tmp_path / "program.work" / "search.journal"

    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **settings) as first:
        deadline = time.monotonic() + 600
        while finished(journal) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
    before = finished(journal)
    assert 5 <= before < TRIALS, "it was to be killed in the middle of its search"
    assert not out.exists()
    again = subprocess.run(command, capture_output=True, text=True, timeout=600, **settings)
    assert again.returncode == 0, again.stderr
    load(out, load_dataset(data).registry)
    assert not journal.parent.exists()
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'task-delegator'")
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    (parent,) = [run for run in runs if run.data.tags.get("kind") == "compile"]
    assert parent.info.status == "FINISHED"
    numbers = [m.step for m in client.get_metric_history(parent.info.run_id, "search_best_top1")]
    # A trial that was running when its process died is tried again under another number.
    assert len(numbers) == len(set(numbers)) == TRIALS


@pytest.mark.slow
def test_an_interrupted_compilation_does_not_ask_its_lm_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    dataset = load_dataset(small_dataset(tmp_path / "data"))
    monkeypatch.setattr(compiling, "embedder", lambda _: HashedWords())
    options = Options(out=tmp_path / "program", trials=3, max_lm_calls=200, traces=0)
    lm, engine = recorded_lm(oracle(dataset))
    calibrate = compiling.calibrate

    def unsure(program, *settings):
        found = calibrate(program, *settings)
        # Twelve agents are too easy: the LM is to be asked.
        program.knobs.set({"confidence.assign_threshold": None})
        return found

    monkeypatch.setattr(compiling, "calibrate", unsure)

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compiling, "_evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            compile_program(dataset, options, lm)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("task-delegator")
    assert experiment is not None
    [stopped_run] = client.search_runs([experiment.experiment_id], "tags.kind = 'compile'")
    assert (stopped_run.info.status, stopped_run.data.tags["out"]) == ("KILLED", str(options.out))
    taught = len(engine.prompts)
    assert taught > 0
    assert not options.out.exists()
    done = compile_program(dataset, options, lm)
    assert done.lm_stage is not None
    assert done.lm_stage.calls >= taught
    reported = sum(r.lm_calls + r.lm_calls_out_of_scope for r in done.reports.values())
    assert len(engine.prompts) - taught <= reported + 1
    assert not (tmp_path / "program.work").exists()
