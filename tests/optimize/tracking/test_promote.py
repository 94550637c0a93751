"""Two programs compared, and the better one promoted, in a real MLflow registry."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast
from urllib.request import Request, urlopen

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from small import ROOT, small_dataset
from tracking import Held, empty_store

from optimize.__main__ import main
from optimize.data.dataset import load_dataset
from optimize.evaluation.compare import compare_programs
from optimize.tracking import Models, promote
from task_delegator.artifact.store import load, save
from task_delegator.errors import ProgramError
from task_delegator.registry.agents import Registry

TASK = "A customer was billed twice for May and wants to know which charge is right."


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def worse(data, tmp_path_factory):
    """The shipped program with its best channels turned off."""
    dataset = load_dataset(data)
    program = load("default", dataset.registry)
    program.knobs.set(
        {
            "retrieval.bm25": 0.0,
            "retrieval.chars": 0.0,
            "retrieval.maxsim": 0.0,
            "retrieval.maxsim_reverse": 0.0,
            "retrieval.head": 0.0,
            "retrieval.sample_best": 0.0,
            "retrieval.sample_mean": 0.0,
            "retrieval.description": 0.01,
        }
    )
    manifest = json.loads(
        (ROOT / "program/task_delegator/compiled/default/manifest.json").read_text()
    )
    folder = tmp_path_factory.mktemp("programs") / "worse"
    save(program, folder, manifest)
    return folder


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.slow
def test_a_program_against_itself_has_no_winner(data):
    dataset = load_dataset(data)
    program = load("default", dataset.registry)
    found = compare_programs([("a", program), ("b", program)], dataset, "validation")
    assert (found.comparison.difference, found.winner, found.by_agent) == (0.0, None, {})


@pytest.mark.slow
def test_evaluate_compares_two_programs_on_the_same_requests(data, worse, capsys):
    code, out, _ = run(
        capsys, "evaluate", "default", worse, "--data", data, "--split", "validation",
        "--no-lm", "--json", "-", "--out-of-scope-share", "0.3",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0
    assert found["winner"] == "default"
    assert found["comparison"]["p"] < 0.05
    assert (found["n_out_of_scope"], found["out_of_scope_share"]) == (12, 0.3)
    assert found["first"]["n_assigned"] == found["first"]["assigned"] * found["n"]
    assert found["first"]["precision_at_share"] is None  # nothing is assigned
    won, lost = found["comparison"]["wins"], found["comparison"]["losses"]
    for grouped in (found["by_domain"], found["by_agent"]):
        assert [sum(pair[i] for pair in grouped.values()) for i in (0, 1)] == [won, lost]
    assert found["comparison"]["difference"] == pytest.approx((won - lost) / found["n"])


@pytest.mark.slow
def test_a_program_that_assigns_replaces_one_that_assigns_nothing(data, tmp_path):
    """Both name the same agents; one of them was calibrated for these."""
    dataset = load_dataset(data)
    changed = [agent.model_copy(update={"domain": "another"}) for agent in dataset.registry]
    dataset = replace(dataset, registry=Registry(changed))
    shipped = ROOT / "program/task_delegator/compiled/default"
    own = shutil.copytree(shipped, tmp_path / "own")
    manifest = json.loads((own / "manifest.json").read_text())
    manifest["registry"]["calibrated"] = [agent.reading_digest() for agent in changed]
    (own / "manifest.json").write_text(json.dumps(manifest))
    better, worse = Held(shipped), Held(own)
    done = promote(str(own), dataset, cast("Models", better), None)
    assert (done.promoted, better.champion) == (True, "2")
    assert done.comparison is not None
    assert done.comparison.winner is None
    assert done.comparison.second.assigned == 0
    assert not promote(str(shipped), dataset, cast("Models", worse), None).promoted
    assert not promote(str(own), dataset, cast("Models", Held(own)), None).promoted


@pytest.mark.slow
def test_only_a_better_program_becomes_champion_and_is_served(
    data, worse, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    common = ("--data", data, "--no-lm")
    assert run(capsys, "promote", "--rollback")[0] == 2
    assert run(capsys, "promote", worse, *common)[:2] == (
        0,
        "champion: models:/delegator@champion is version 1\n",
    )
    assert run(capsys, "promote", "default", *common)[1].endswith("is version 2\n")
    code, out, err = run(capsys, "promote", worse, *common)
    assert (code, out.split(":")[0]) == (1, "not promoted")
    assert "champion 2" in err
    assert "points" in err
    assert run(capsys, "promote", worse, "--force", *common)[1].endswith("is version 3\n")
    assert run(capsys, "promote", "--rollback")[1].endswith("is version 2\n")

    registry = Registry.load(data / "agents.json")
    expected = load("default", registry)(TASK)
    loaded = load("models:/delegator@champion", registry)(TASK)
    assert (loaded.agent, loaded.confidence) == (expected.agent, expected.confidence)
    with pytest.raises(ProgramError, match="MLFLOW_TRACKING_URI"):
        load("models:/nobody@champion", registry)
    model = mlflow.pyfunc.load_model("models:/delegator@champion")
    with pytest.raises(MlflowException, match="permission"):  # it would open all agents
        model.predict([{"task": TASK, "permission": []}])
    [answer] = model.predict([{"task": "Book a hotel in Rome and then refund my order"}])
    assert answer.several > 0
    assert served(TASK) == pytest.approx(expected.confidence, abs=1e-6)


def served(task: str) -> float:
    """Start MLflow's scoring server on loopback, ask it, and return the confidence."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/delegator@champion",
         "--port", port, "--env-manager", "local"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    try:
        body = json.dumps({"inputs": [{"task": task}]}).encode()
        for _ in range(600):
            assert server.poll() is None, "the scoring server ended"
            try:
                question = Request(
                    f"http://127.0.0.1:{port}/invocations",
                    body,
                    {"Content-Type": "application/json"},
                )
                with urlopen(question, timeout=30) as answer:
                    return json.load(answer)["predictions"][0]["confidence"]
            except OSError:
                time.sleep(0.2)
        raise AssertionError("the scoring server did not answer")
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
