"""Result files: ``experiments/results/<name>-<commit>.json``, one per study.

Each says what it takes to get its rows again: the commit, the study's constants, versions,
and digests of the data and of the models that were there.
"""

import hashlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.support.llm_answers import SECOND
from experiments.support.public_data import ROOT
from optimize.data import OURS
from optimize.provenance import commit
from task_delegator.artifact import PROGRAM, find, read_manifest
from task_delegator.errors import InputError
from task_delegator.lm import RAW, digest, find_weights
from task_delegator.lm.server import processors
from task_delegator.system import read_json, write_text

FOLDER = Path("experiments/results")
# What experiments write does not change what they measure: several may run one after another.
_MADE = ("experiments/results", "experiments/answers", "experiments/plots", "*.md")
_PACKAGES = (
    "dspy", "optuna", "mlflow", "scikit-learn", "bm25s", "onnxruntime", "numpy",
    "xllamacpp", "gguf",
)  # fmt: skip


def clean_commit() -> str:
    """Return the commit of the clean tree, which is what a result may name.

    Raises:
        InputError: there are uncommitted changes, or this is no checkout.
    """
    head = commit(apart_from=_MADE)
    if head.endswith("+") or head == "unknown":
        raise InputError("results name the commit that made them: commit your changes first")
    return head


def save(
    name: str, head: str, config: dict[str, Any], rows: list[dict[str, Any]], seconds: float
) -> Path:
    """Write a study's rows, in place of its older result."""
    path = FOLDER / f"{name}-{head}.json"
    content = {
        "experiment": name,
        "commit": head,
        "config": config,
        "python": platform.python_version(),
        "processors": processors(),
        "versions": {package: version(package) for package in _PACKAGES},
        "data": digests(),
        "models": models(),
        "seconds": round(seconds, 1),
        "rows": rows,
    }
    write_text(path, json.dumps(content, indent=1) + "\n")
    for older in FOLDER.glob(f"{name}-*.json"):
        if older != path:
            older.unlink()
    return path


def constants(module: object) -> dict[str, Any]:
    """Return a study's constants: the numbers, names and tables at its head."""
    found = {}
    for name, value in vars(module).items():
        if name.isupper() and _plain(value):
            found[name.strip("_").lower()] = value
    return found


def _plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def models() -> dict[str, str]:
    """Return the sha256 of the shipped program and of every model, and the embedder's id."""
    raw = find_weights(RAW)
    found = shipped() | {
        "embedder": read_manifest(find("default"))["embedder"]["id"],
        raw.base.name: digest(raw.base),
    }
    second = os.environ.get(SECOND)
    if second:
        found[Path(second).name] = digest(Path(second))
    return found


def shipped() -> dict[str, str]:
    """Return the sha256 of the program and of the adapter that ship."""
    found = {"program": digest(find("default") / PROGRAM)}
    adapter = find_weights("").adapter
    return found if adapter is None else found | {"adapter": digest(adapter)}


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


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a study's committed result, none where it was not run."""
    result = latest(name)
    return result["rows"] if result else []


def latest(name: str) -> dict[str, Any] | None:
    """Return a study's committed result, or None where it has not been run."""
    path = latest_file(name)
    return None if path is None else read_json(path)


def latest_file(name: str) -> Path | None:
    """Return where a study's committed result is, or None where it has not been run."""
    found = sorted(FOLDER.glob(f"{name}-*.json"))
    return found[-1] if found else None
