"""Result files: ``experiments/results/<name>-<commit>.json``, one per experiment."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from optimize.evaluate import commit
from task_delegator.agents import read_json, write_text
from task_delegator.errors import InputError

FOLDER = Path("experiments/results")
_PACKAGES = ("dspy", "optuna", "mlflow", "scikit-learn", "bm25s", "onnxruntime", "numpy")


def clean_commit() -> str:
    """Return the commit of the clean tree, which is what a result may name.

    Raises:
        InputError: there are uncommitted changes, or this is no checkout.
    """
    head = commit()
    if head.endswith("+") or head == "unknown":
        raise InputError("results name the commit that made them: commit your changes first")
    return head


def save(name: str, head: str, rows: list[dict[str, Any]]) -> Path:
    """Write an experiment's rows, in place of its older results."""
    path = FOLDER / f"{name}-{head}.json"
    content = {
        "experiment": name,
        "commit": head,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        "rows": rows,
    }
    write_text(path, json.dumps(content, indent=1) + "\n")
    for older in FOLDER.glob(f"{name}-*.json"):
        if older != path:
            older.unlink()
    return path


def latest(name: str) -> dict[str, Any] | None:
    """Return an experiment's committed result, or None where it has not been run."""
    found = sorted(FOLDER.glob(f"{name}-*.json"))
    return read_json(found[-1]) if found else None
