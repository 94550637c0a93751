"""Studies that processes share: on PostgreSQL, where it is installed."""

import logging
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import mlflow
import optuna
import pytest
from small import ROOT, small_dataset
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError
from tracking import empty_store

from optimize.search.study import (
    StudyLocation,
    completed_trials,
    open_study,
    run_trials,
    trial_pruned,
    wilcoxon_pruner,
)
from optimize.tracking.studies import study_storage
from task_delegator.errors import InputError

TRIALS = 150  # some 50 ms each: the second process has to get its share


@pytest.fixture
def postgres():
    """Start a PostgreSQL server on loopback; return a storage URL."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not installed:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    as_root = os.geteuid() == 0  # as which the server refuses to run
    who = "postgres" if as_root else None

    def run(tool: str, *arguments: str) -> None:
        subprocess.run(
            [str(installed[-1] / tool), *arguments],
            check=True, stdout=subprocess.DEVNULL, cwd="/", user=who, group=who,
        )  # fmt: skip

    folder = Path(tempfile.mkdtemp(prefix="study"))
    if as_root:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")
    options = f"-p {port} -h 127.0.0.1 -k {folder}"
    run("initdb", "-D", data, "-U", "delegator", "-A", "trust")
    run("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://delegator@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def shared(postgres):
    """Open the study of this name, which must be there."""
    storage = optuna.storages.RDBStorage(postgres)
    yield optuna.load_study(study_name="shared", storage=storage)
    storage.remove_session()
    storage.engine.dispose()


def until(holds, seconds=180):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def processes(study) -> set[str]:
    return {trial.user_attrs["process"] for trial in completed_trials(study)}


def _studies(url: str) -> list[str]:
    """Return the studies' names, none while the tables are being made."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [
                str(row[0]) for row in connection.execute(text("SELECT study_name FROM studies"))
            ]
    except ProgrammingError:
        return []
    finally:
        engine.dispose()


@pytest.mark.slow
@pytest.mark.heavy
def test_processes_share_a_study_and_one_may_be_killed(postgres, request, tmp_path):
    command = [sys.executable, "-m", "optimize", "search", "--data", str(small_dataset(tmp_path))]
    command += ["--trials", str(TRIALS), "--study", "shared", "--storage", postgres]

    def worker() -> subprocess.Popen:
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    first, second = worker(), worker()  # at once: one of them finds the tables half made
    until(lambda: "shared" in _studies(postgres))
    study = request.getfixturevalue("shared")
    until(lambda: len(processes(study)) == 2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert len(completed_trials(study)) < TRIALS, "it was to be killed before the end"
    third = worker()
    for process in (second, third):
        errors = process.communicate(timeout=180)[1]
        assert process.returncode == 0, errors
    states = [trial.state.name for trial in study.get_trials()]
    # Two may both see room for the last one.
    assert TRIALS <= states.count("COMPLETE") <= TRIALS + 1
    assert states.count("RUNNING") == 0
    assert states.count("FAIL") <= 1, "what the killed one was trying, tried again"
    assert len(processes(study)) >= 2
    tried = [tuple(sorted(trial.params.items())) for trial in completed_trials(study)]
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("dies", [False, True], ids=["alive", "dead"])
def test_what_is_tried_first_is_enqueued_once_whoever_joins_meanwhile(tmp_path, monkeypatch, dies):
    monkeypatch.setattr("optimize.search.study.GRACE_SECONDS", 0.2 if dies else 20)
    monkeypatch.setattr("optimize.search.study._POLL_SECONDS", 0.01)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    place, starts = StudyLocation("s", url), [{"x": 0.25}, {"x": 0.75}]
    add, joining = optuna.Study.add_trial, []

    def add_while_another_joins(study, trial):
        if not joining:
            joining.append(
                threading.Thread(target=open_study, args=(place, starts), kwargs={"seed": 0})
            )
            joining[0].start()
            if dies:
                raise KeyboardInterrupt
            joining[0].join(1)  # it would have enqueued them by then
        add(study, trial)

    monkeypatch.setattr(optuna.Study, "add_trial", add_while_another_joins)
    with pytest.raises(KeyboardInterrupt) if dies else nullcontext():
        open_study(place, starts, seed=0)
    joining[0].join()
    study = optuna.load_study(study_name="s", storage=url)
    assert [trial.system_attrs["fixed_params"] for trial in study.get_trials()] == starts


def test_nobody_is_waited_for_where_one_process_has_the_study(tmp_path, monkeypatch):
    """A process that died before it had enqueued its starts is not at work elsewhere."""
    place, starts = StudyLocation("s", tmp_path / "journal"), [{"x": 0.25}, {"x": 0.75}]
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            open_study(place, starts, seed=0)
    monkeypatch.setattr("optimize.search.study.time.sleep", None)
    study = open_study(place, starts, seed=0)
    assert [trial.system_attrs["fixed_params"] for trial in study.get_trials()] == starts


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_a_search_that_is_stopped_logs_nothing_of_its_own(tmp_path, elsewhere):
    told = Mock(level=0)
    logger = logging.getLogger("optuna")
    study = open_study(StudyLocation("s", tmp_path / "journal"), [{"x": 0.25}], seed=0)
    logger.addHandler(told)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_trials(study, Mock(side_effect=KeyboardInterrupt), 3, Mock() if elsewhere else None)
    finally:
        logger.removeHandler(told)
    assert told.handle.call_args_list == []


def test_what_a_trial_draws_follows_from_its_number(tmp_path):
    def objective(trial):
        return trial.suggest_float("x", 0, 1)

    def drawn(storage, *stops):
        for stop in stops:
            run_trials(
                open_study(StudyLocation("s", storage), [{"x": 0.5}], seed=3), objective, stop
            )
        study = open_study(StudyLocation("s", storage), [], seed=3)
        return [trial.params["x"] for trial in completed_trials(study)]

    whole = drawn(tmp_path / "whole", 16)
    assert drawn(tmp_path / "parts", 1, 5, 16) == whole
    assert whole[0] == 0.5
    assert len(set(whole)) == 16


def test_what_a_dead_process_was_trying_is_tried_again(tmp_path):
    place = StudyLocation("s", tmp_path / "journal")
    study = open_study(place, [{"x": 0.25}], seed=0)
    study.ask()  # and the process dies

    def objective(trial):
        return trial.suggest_float("x", 0, 1)

    done = run_trials(open_study(place, [{"x": 0.25}], seed=0), objective, 3)
    assert len(done) == 3
    assert done[0].params == {"x": 0.25}
    states = [trial.state.name for trial in study.get_trials()]
    assert states.count("FAIL") == 1
    assert states.count("RUNNING") == 0


def test_a_trial_that_never_showed_a_sign_of_life_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("optimize.search.study.GRACE_SECONDS", 0.2)
    monkeypatch.setattr("optimize.search.study._POLL_SECONDS", 0.05)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    open_study(StudyLocation("s", url), [{"x": 0.25}], seed=0)
    study = optuna.load_study(study_name="s", storage=url)
    study.ask()  # and the process dies before its heartbeat begins

    def objective(trial):
        return trial.suggest_float("x", 0, 1)

    done = run_trials(open_study(StudyLocation("s", url), [], seed=0), objective, 2)
    assert len(done) == 2
    assert {"x": 0.25} in [trial.params for trial in done]
    states = [trial.state.name for trial in study.get_trials()]
    assert states.count("FAIL") == 1
    assert states.count("RUNNING") == 0


@pytest.fixture
def mlflow_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    yield study_storage("mlflow")
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def proxy(tmp_path):
    """Serve a database by Optuna's gRPC proxy."""
    pytest.importorskip("grpc", reason="grpcio is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([
        sys.executable, "-c",
        "import sys, optuna; optuna.storages.run_grpc_proxy_server("
        "optuna.storages.RDBStorage(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))",
        f"sqlite:///{tmp_path / 'study.db'}", str(port),
    ], stderr=subprocess.DEVNULL)  # fmt: skip
    yield f"grpc://127.0.0.1:{port}"
    server.kill()
    server.wait()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # MLflow's and gRPC's own
@pytest.mark.parametrize("kind", ["journal", "mlflow", "grpc"])
def test_a_storage_by_name_keeps_the_study_and_what_a_dead_process_was_trying(
    kind, request, tmp_path
):
    storages = {
        "journal": lambda: f"journal:{tmp_path / 'journal'}",
        "mlflow": lambda: request.getfixturevalue("mlflow_store"),
        "grpc": lambda: request.getfixturevalue("proxy"),
    }
    place = StudyLocation("s", storages[kind](), "identity")

    def objective(trial):
        trial.set_constraint("small", trial.suggest_float("x", 0, 1) - 0.9)
        return trial.params["x"]

    gone = subprocess.Popen(["true"])
    gone.wait()
    begun = open_study(place, [{"x": 0.25}], seed=3)
    dying = begun.ask()
    for name, value in {"process": f"{platform.node()}:{gone.pid}", "begun": 0}.items():
        dying.set_user_attr(name, value)
    run_trials(begun, objective, 2)
    done = run_trials(open_study(place, [{"x": 0.25}], seed=3), objective, 3)
    assert len(done) == 3
    assert [trial.number for trial in done] == sorted(trial.number for trial in done)
    left = {trial.state.name for trial in begun.get_trials()} - {"COMPLETE"}
    assert left == {"RUNNING" if kind == "mlflow" else "FAIL"}
    assert ({"x": 0.25} in [trial.params for trial in done]) == (kind != "mlflow")
    with pytest.raises(InputError, match="begun with other data"):
        open_study(replace(place, identity="another"), [], seed=3)


@pytest.mark.parametrize(
    ("storage", "said"),
    [("grpc://nowhere", "must be grpc://HOST:PORT"), ("journal:/no/such/x", "cannot be opened")],
)
def test_a_storage_that_is_misnamed_is_bad_input(storage, said):
    with pytest.raises(InputError, match=said):
        open_study(StudyLocation("s", storage), [], seed=0)


@pytest.mark.parametrize(
    "storage",
    [
        "sqlite:////no/such/folder/secret.db",
        "nosuch://me:secret@host/db",
        "secret",
        "oracle+cx_oracle://me:secret@host/db",
    ],
)
def test_a_storage_that_cannot_be_opened_is_bad_input(storage):
    with pytest.raises(InputError, match="cannot be opened") as caught:
        open_study(StudyLocation("s", storage), [], seed=0)
    assert "secret" not in str(caught.value)


def test_a_mistake_of_the_caller_is_no_storage_that_cannot_be_opened():
    nonsense: Any = ("upwards",)
    with pytest.raises(ValueError, match="direction"):
        open_study(StudyLocation("s"), [], seed=0, directions=nonsense)


def test_a_study_with_other_objectives_is_not_continued(tmp_path):
    place = StudyLocation("s", f"sqlite:///{tmp_path / 'study.db'}")
    open_study(place, [], seed=0)
    with pytest.raises(InputError, match="has other objectives"):
        open_study(place, [], seed=0, directions=("maximize", "minimize"))


def test_a_trial_that_falls_behind_on_the_same_requests_is_pruned():
    steps = []

    def objective(trial):
        good = trial.suggest_categorical("good", [True, False])
        for step in range(40):
            trial.report(float(good), step)
            if trial.should_prune():
                steps.append(step)
                raise trial_pruned()
        return float(good)

    place, starts = StudyLocation("s"), [{"good": True}, {"good": False}]
    study = open_study(place, starts, seed=0, pruner=wilcoxon_pruner())
    first, second = run_trials(study, objective, 2)
    assert (first.state.name, second.state.name) == ("COMPLETE", "PRUNED")
    assert steps[0] < 20
