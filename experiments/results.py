"""Result files: ``experiments/results/<name>-<commit>.json``, one per experiment."""

import hashlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from optimize.data import OURS
from optimize.evaluate import commit
from task_delegator.agents import read_json, write_text
from task_delegator.errors import InputError

FOLDER = Path("experiments/results")
ROOT = Path(os.environ.get("TASK_DELEGATOR_PUBLIC_DATA", "../shared/data"))
# What experiments write does not change what they measure: several may run one after another.
_MADE = ("experiments/results", "experiments/answers", "experiments/plots", "*.md")
_PACKAGES = ("dspy", "optuna", "mlflow", "scikit-learn", "bm25s", "onnxruntime", "numpy")


def clean_commit() -> str:
    """Return the commit of the clean tree, which is what a result may name.

    Raises:
        InputError: there are uncommitted changes, or this is no checkout.
    """
    head = commit(apart_from=_MADE)
    if head.endswith("+") or head == "unknown":
        raise InputError("results name the commit that made them: commit your changes first")
    return head


def save(name: str, head: str, rows: list[dict[str, Any]], seconds: float) -> Path:
    """Write an experiment's rows, in place of its older results."""
    path = FOLDER / f"{name}-{head}.json"
    content = {
        "experiment": name,
        "commit": head,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        "data": digests(),
        "seconds": round(seconds, 1),
        "rows": rows,
    }
    write_text(path, json.dumps(content, indent=1) + "\n")
    for older in FOLDER.glob(f"{name}-*.json"):
        if older != path:
            older.unlink()
    return path


def digests() -> dict[str, str]:
    """Return one digest per data directory that is there: of its files' digests, in order."""
    found = {}
    for folder in (OURS, *sorted(ROOT.glob("*/"))):
        files = sorted(folder.glob("*.json"))
        whole = hashlib.sha256()
        for file in files:
            whole.update(hashlib.sha256(file.read_bytes()).digest())
        found[folder.name] = whole.hexdigest()[:16]
    return found


def latest(name: str) -> dict[str, Any] | None:
    """Return an experiment's committed result, or None where it has not been run."""
    found = sorted(FOLDER.glob(f"{name}-*.json"))
    return read_json(found[-1]) if found else None
