"""What a process does not use, it does not load."""

import ast
import gc
import json
import os
import subprocess
import sys

import pytest
from small import ROOT

import task_delegator
from task_delegator.cli.loading import loading

DELEGATE = "from task_delegator.cli import main; main(['delegate', 'refund', '--no-lm'])"
MODULES_AFTER = """
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    try:
        {code}
    except SystemExit:
        pass
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(code: str, **environment: str) -> set[str]:
    """Return the modules that a fresh process has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES_AFTER.format(code=code.replace("\n", "\n        "))],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import task_delegator",
        "from task_delegator.cli import main; main(['--help'])",
        "from task_delegator.cli import main; main(['delegate', '--help'])",
        "from optimize.__main__ import main; main(['--help'])",
        "from optimize.__main__ import main; main(['compile', '--help'])",
    ],
)
def test_neither_the_package_nor_help_loads_dspy(code):
    assert not modules_after(code) & {"dspy", "numpy", "scipy", "sklearn", "mlflow", "optuna"}


def test_public_names_are_found_where_types_are_checked():
    tree = ast.parse((ROOT / "program" / "task_delegator" / "__init__.py").read_text())
    checked = {
        alias.name: f"task_delegator.{node.module}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(checked) == task_delegator.__all__
    for name, module in checked.items():
        assert getattr(task_delegator, name).__module__.startswith(module)
    assert set(task_delegator.__all__) <= set(dir(task_delegator))


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"task_delegator.*nonsense"):
        _ = task_delegator.nonsense


@pytest.mark.slow
def test_a_delegation_loads_nothing_that_only_compiling_needs():
    loaded = modules_after(DELEGATE)
    assert {"dspy", "onnxruntime"} <= loaded
    assert not loaded & {"pandas", "sklearn", "mlflow", "optuna", "torch", "scipy.stats"}
    # The head that this process kept is not fitted again by the next.
    assert "scipy.optimize" not in modules_after(DELEGATE)


def test_what_fails_while_it_is_prepared_fails_where_it_is_needed(monkeypatch):
    def fail(spec):
        raise RuntimeError(f"no weights of {spec}")

    monkeypatch.setattr("task_delegator.cli.loading._open_embedder", fail)
    with loading("minilm-tuned"):
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), loading(None):
        raise KeyError
    assert gc.isenabled()
