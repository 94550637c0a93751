"""A registered model is untrusted data: its program is checked and none of its code is run."""

import json
import socket
from pathlib import Path
from typing import Any

import mlflow
import pytest
from small import ROOT
from tracking import empty_store

from task_delegator.artifact.store import load
from task_delegator.errors import ProgramError

SHIPPED = ROOT / "program" / "task_delegator" / "compiled" / "default"
MODEL = """
flavors:
  python_function:
    loader_module: evil
    code: code
    model_code_path: evil.py
    python_model: python_model.pkl
"""
STATE = json.loads((SHIPPED / "program.json").read_text())
FACTS = json.loads((SHIPPED / "manifest.json").read_text())
PREDICTOR = "classify.select"


def state(**changed: Any) -> str:
    return json.dumps(STATE | {PREDICTOR: STATE[PREDICTOR] | changed})


def manifest(**changed: Any) -> str:
    return json.dumps(FACTS | changed)


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Return what registers a model with other files in its program; its code leaves a mark."""
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(empty_store(tmp_path))
    client = mlflow.MlflowClient()

    def register(files: dict[str, str | Path]) -> str:
        source = tmp_path / "model"
        program = source / "artifacts" / "program"
        (source / "code").mkdir(parents=True)
        program.mkdir(parents=True)
        mark = f"open({str(tmp_path / 'mark')!r}, 'w')\n"
        for place in ("code/evil.py", "evil.py", "code/__init__.py", "artifacts/program/x.py"):
            (source / place).write_text(mark)
        (source / "MLmodel").write_text(MODEL)
        (source / "python_model.pkl").write_bytes(b"cos\nsystem\n(S'touch mark'\ntR.")
        whole = {
            "program.json": SHIPPED / "program.json",
            "manifest.json": SHIPPED / "manifest.json",
        }
        for name, content in {**whole, **files}.items():
            if isinstance(content, Path):
                (program / name).symlink_to(content)
            else:
                (program / name).write_text(content)
        client.create_registered_model("evil")
        client.create_model_version("evil", str(source))
        return "models:/evil/1"

    yield register
    mlflow.set_tracking_uri(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "refused"),
    [
        ({}, None),
        ({"program.json": state(config={"api_base": "http://127.0.0.1:9"})}, "config"),
        ({"program.json": state(api_base="http://127.0.0.1:9")}, "api_base"),
        ({"program.json": state(lm={"model": "openai/x", "api_base": "http://x"})}, "lm"),
        ({"program.json": json.dumps(STATE | {"../../x": {}})}, "'../../x' is unknown"),
        ({"program.json": json.dumps(STATE | {"lm": {"model": "x"}})}, "'lm' is unknown"),
        ({"program.json": Path("/etc/passwd")}, "broken JSON"),
        ({"program.json": Path("/dev/zero")}, "not a regular file"),
        ({"manifest.json": Path("/etc/passwd")}, "broken JSON"),
        ({"manifest.json": Path("nowhere")}, "no such file"),
        ({"manifest.json": manifest(embedder={"spec": "st:../../x", "id": "x"})}, "name it"),
        ({"manifest.json": manifest(embedder={"spec": "openai/x", "id": "x"})}, "name it"),
        ({"manifest.json": manifest(lm={"spec": "openai/x"}, code="x", agents="../../x")}, None),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else None,
)
def test_a_hostile_model_is_refused_or_does_nothing_of_its_own(
    registered, tmp_path, monkeypatch, office, files, refused
):
    uri, contacted = registered(files), []

    def connect(*arguments: Any, **_: Any) -> None:
        contacted.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    if refused is None:
        assert load(uri, office)("refund my order").top3
    else:
        with pytest.raises(ProgramError) as caught:
            load(uri, office)
        assert refused in str(caught.value)
        assert "root:" not in str(caught.value)
    assert contacted == []
    assert not (tmp_path / "mark").exists()
