"""A service at work over a small dataset, whose traces go to MLflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
from starlette.testclient import TestClient

from optimize.data import load_dataset
from task_delegator.artifact import load
from task_delegator.delegator import Delegator
from task_delegator.service import Desk, create_app
from task_delegator.tracing import TraceLog
from task_delegator.tracing.mlflow_store import MlflowStore

# No agent's words: each is reviewed, and each label of one teaches that one alone.
TASKS = [
    "xylophone quartet paperwork",
    "zeppelin moorings beside glaciers",
    "quince marmalade rosters",
    "walrus census brochures",
    "obsidian yodel permits",
]


def serve(
    uri: str,
    data: Path,
    folder: Path,
    *,
    texts: bool = False,
    lm: Any = None,
    name: str = "default",
    tasks: Sequence[str] = TASKS,
) -> tuple[list[dict[str, Any]], Delegator]:
    """Delegate tasks at a service that writes to MLflow; say who is right of the first.

    Args:
        uri: of the store.
        data: folder of the agents.
        folder: for the logs of decisions and of feedback.
        texts: keep texts in the traces.
        lm: asked about every task; None for none.
        name: of the program.
        tasks: in their order.
    """
    program = load(name, load_dataset(data).registry, allow_uncalibrated=True, lm=lm)
    if lm is not None:
        program.knobs.set({"lm.ask_settled": True})
    log = TraceLog(MlflowStore(uri), folder / "decisions.jsonl", texts=texts)
    with TestClient(
        create_app(Desk(program, folder / "feedback.jsonl", log)), base_url="http://127.0.0.1"
    ) as client:
        given = [client.post("/delegate", json={"task": task}).json() for task in tasks]
        right = given[0]["top3"][1]["name"]
        said = {"request_id": given[0]["request_id"], "correct_agent": right}
        assert client.post("/feedback", json=said).status_code == 204
    assert log.lost == 0
    return given, program


def traces_of(given: list[dict[str, Any]], experiment: str) -> list[Any]:
    """Return the traces of what a service answered, in its order."""
    found: Any = mlflow.search_traces(locations=[experiment], return_type="list")
    by_id = {trace.info.tags.get("request_id"): trace for trace in found}
    return [by_id[one["request_id"]] for one in given]
