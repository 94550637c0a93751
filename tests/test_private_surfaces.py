"""Nothing private of a library is used outside the ``_compat.py`` of each package.

A name with a leading underscore that is read from anything but the object itself must be one of
this tree's own: no class, function or assignment here defines those of a library.
"""

import ast
from pathlib import Path

import pytest
from small import ROOT
from sources import parsed

PACKAGES = ("program", "optimize", "experiments")
LIBRARIES = {"mlflow", "dspy", "optuna"}
FILES = [
    path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "_compat.py"
]
# Of other libraries, and of Python itself.
KNOWN = {
    "_exit": "os: ends a process without unwinding it",
    "_actions": "argparse: the options, for the reference of the command line",
    "_choices_actions": "argparse: the help of each command",
    "_HelpAction": "argparse: left out of the reference",
    "_SubParsersAction": "argparse: the commands",
    "_commit_hash": "transformers: which version of a model the hub gave",
    "_scores_many": "semantic-router: a peer, in an environment of its own",
    "_AGG": "semantic-router: the same",
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def is_named(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def defined(tree: ast.AST) -> set[str]:
    """Return the private names that a file defines: by class, function, argument, assignment."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and is_named(node.value, "self")
        ):
            found.add(node.attr)
    return {name for name in found if is_private(name)}


def used(tree: ast.AST) -> dict[str, int]:
    """Return the private names that a file reads from an object or imports, with a line of each."""
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found[node.attr] = node.lineno
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES:
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found |= dict.fromkeys(parts, node.lineno)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in LIBRARIES:
                    found |= dict.fromkeys(alias.name.split("."), node.lineno)
        elif isinstance(node, ast.Call) and is_named(node.func, "getattr", "setattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                found[name.value] = node.lineno
    return {name: line for name, line in found.items() if is_private(name)}


def test_private_names_of_a_library_are_found():
    source = """
from mlflow.store import _secret
import optuna._hidden
class Own:
    def __init__(self):
        self._mine = lm._theirs
    def _do(self):
        return self._mine, self._compiled, getattr(study, "_storage", None)
"""
    tree = ast.parse(source)
    assert set(used(tree)) - defined(tree) == {
        *("_secret", "_hidden", "_theirs", "_compiled", "_storage"),
    }


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {path: parsed(path.read_text()) for path in FILES}


@pytest.fixture(scope="module")
def own(trees) -> set[str]:
    return set().union(*map(defined, trees.values()))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_private_name_of_a_library_is_used(path: Path, trees, own):
    foreign = {n: line for n, line in used(trees[path]).items() if n not in own | set(KNOWN)}
    assert not foreign, f"{path.relative_to(ROOT)}: put it into _compat.py with its reason"


def test_every_known_exception_is_needed(trees):
    assert set(KNOWN) <= set().union(*(used(tree) for tree in trees.values()))
