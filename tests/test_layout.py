"""Rules of the tree: who may import whom, and what is public."""

import ast
from pathlib import Path

import pytest
from small import ROOT

import task_delegator

PACKAGES = {"program": "task_delegator", "optimize": "optimize", "experiments": "experiments"}
MAY_IMPORT = {
    "program": {"task_delegator"},
    "optimize": {"task_delegator", "optimize"},
    "experiments": {"task_delegator", "optimize", "experiments"},
}
ONLY_IN = {
    # The store, runs and the registry; serve.py is what MLflow itself loads.
    "mlflow": {
        *(f"optimize/{name}.py" for name in ("store", "track", "models")),
        "program/task_delegator/serve.py",
    },
    "optuna": {"optimize/study.py"},
}
FILES = [path for folder in PACKAGES for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    folder = path.relative_to(ROOT).parts[0]
    own = imported(path) & set(PACKAGES.values())
    assert own <= MAY_IMPORT[folder]


@pytest.mark.parametrize(("library", "files"), ONLY_IN.items())
def test_heavy_libraries_are_imported_only_where_the_table_says(library, files):
    users = {str(path.relative_to(ROOT)) for path in FILES if library in imported(path)}
    assert users == files


def test_only_signatures_hold_prompt_wording():
    users = {
        path.name
        for path in (ROOT / "program").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any("Signature" in ast.unparse(b) for b in node.bases)
    }
    assert users == {"signatures.py"}


def test_the_public_names_are_sorted_and_importable():
    assert task_delegator.__all__ == sorted(task_delegator.__all__)
    for name in task_delegator.__all__:
        assert getattr(task_delegator, name).__doc__


def test_datasets_is_no_python_package():
    assert not list((ROOT / "datasets").glob("*.py"))
