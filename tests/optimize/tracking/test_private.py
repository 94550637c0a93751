"""Nothing private is in MLflow's store after compiling, evaluating, serving and feedback."""

import json
import sqlite3
from pathlib import Path

import dspy
import mlflow
import pytest
from small import HashedWords, small_dataset
from starlette.testclient import TestClient
from tracking import empty_store
from wire import Provider

from optimize.config import Options
from optimize.data import load_dataset
from optimize.evaluation import compare_outcomes, evaluate_all
from optimize.pipeline import compile as compiling
from optimize.pipeline.compile import compile_program
from optimize.tracking import track_evaluations
from task_delegator.artifact import load
from task_delegator.service import Desk, create_app
from task_delegator.tracing import TraceLog
from task_delegator.tracing.mlflow_store import MlflowStore

KEY, HEADER = "sk-2718281828", "Bearer-3141592653"
HIDDEN = "Zanzibar Ledger Whisperer"
ASKED = "kindly reconcile the walrus account before Thursday"

pytestmark = [
    pytest.mark.slow,
    # MLflow's own, where it is given a list of rows.
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


@pytest.fixture
def secretive():
    """An LM at a provider on loopback that is given a key and a header."""
    with Provider() as provider:
        settings = {"api_key": KEY, "headers": {"X-Team": HEADER}, "cache": False}
        yield dspy.LM("openai/gpt-4o-mini", api_base=provider.url, **settings)


@pytest.fixture
def data(tmp_path):
    """A dataset one of whose agents, with labeled requests, needs a permission."""
    folder = small_dataset(tmp_path / "data")
    old = json.loads((folder / "agents.json").read_text())[0]["name"]
    for path in folder.glob("*.json"):
        path.write_text(path.read_text().replace(json.dumps(old), json.dumps(HIDDEN)))
    agents = json.loads((folder / "agents.json").read_text())
    agents[0]["required_permissions"] = ["ledger"]
    (folder / "agents.json").write_text(json.dumps(agents))
    return load_dataset(folder)


def held(folder: Path) -> dict[str, bytes]:
    """Return what the store holds: every table with its rows, and every file of a run."""
    found = {}
    with sqlite3.connect(folder / "mlflow.db") as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            rows = db.execute(f'SELECT * FROM "{table}"').fetchall()
            found[f"table {table}"] = repr(rows).encode()
    for path in (folder / "mlruns").rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def test_neither_texts_nor_keys_nor_hidden_agents_are_in_the_store(
    data, secretive, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    uri = empty_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(compiling, "embedder", lambda spec: HashedWords())
    try:
        _work(data, secretive, tmp_path, uri)
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    everything = held(tmp_path)
    assert {"table trace_info", "table assessments", "table evaluation_dataset_records"} <= set(
        everything
    )
    private = {KEY, HEADER, ASKED, HIDDEN}
    private |= {r.text for split in ("validation", "test") for r in data.splits[split]}
    private |= {text for split in ("validation", "test") for text in data.out_of_scope[split]}
    leaks = {
        (where, text)
        for where, content in everything.items()
        for text in private
        if text.encode() in content or json.dumps(text)[1:-1].encode() in content
    }
    # A compiled program carries what it learned: demos, samples, names of agents.
    assert {(w, t) for w, t in leaks if "/program/" not in w and "/prompts/" not in w} == set()


def _work(data, lm, folder: Path, uri: str) -> None:
    options = Options(
        folder / "program", trials=2, lm="openai/gpt-4o-mini", optimizer="labeled-few-shot",
        max_lm_calls=160,
    )  # fmt: skip
    compile_program(data, options, lm)
    program = load(folder / "program", data.registry, embedder=HashedWords())
    evaluations = [
        (name, evaluate_all(program, data, "validation", name=name, lm=lm, limit=12))
        for name in ("one", "other")
    ]
    answers = [(name, evaluated.outcomes) for name, evaluated in evaluations]
    comparison = compare_outcomes(answers, data, "validation")
    track_evaluations(evaluations, comparison, data, "validation")
    served = load(folder / "program", data.registry, embedder=HashedWords(), lm=lm)
    log = TraceLog(MlflowStore(uri), folder / "decisions.jsonl")
    desk = Desk(served, folder / "feedback.jsonl", log)
    with TestClient(create_app(desk), base_url="http://127.0.0.1") as client:
        for right in (HIDDEN, None):
            given = client.post("/delegate", json={"task": ASKED}).json()
            said = {"request_id": given["request_id"], "correct_agent": right}
            assert client.post("/feedback", json=said).status_code == 204
        client.post("/plan", json={"task": f"{ASKED} and then {ASKED}"})
    assert log.lost == 0
