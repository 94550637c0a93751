"""The audit fails for what can be mended, and for nothing else."""

import json
import runpy
import sys

import pytest
from small import ROOT

AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
KNOWN = {"id": "PYSEC-1", "fix_versions": ["9.9"]}
UNFIXED = {"id": "PYSEC-2", "fix_versions": []}


def package(name, *vulns):
    return {"name": name, "version": "1.0", "vulns": list(vulns)}


def saying(text):
    return [sys.executable, "-c", f"print({text!r})"]


@pytest.mark.parametrize(
    ("packages", "code", "line"),
    [
        ([package("numpy"), package("Bm25s", KNOWN)], 1, "error: Bm25s 1.0: PYSEC-1: fixed in 9.9"),
        ([package("pytest-xdist", KNOWN)], 1, "error: pytest-xdist"),
        ([package("numpy", UNFIXED)], 0, "note: numpy 1.0: PYSEC-2: no fix yet"),
        ([package("werkzeug", KNOWN)], 0, "note: werkzeug"),
        ([package("numpy"), {"name": "x", "skip_reason": "not found"}], 0, "1 of 2 packages"),
        ([{"name": "numpy", "skip_reason": "not found"}], 0, "skipped"),
    ],
)
def test_only_a_direct_dependency_with_a_fix_fails(packages, code, line, capsys):
    assert AUDIT["main"](saying(json.dumps({"dependencies": packages}))) == code
    assert line in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [saying("no JSON"), saying("{}"), [sys.executable, "-c", "import time; time.sleep(9)"]],
)
def test_where_there_is_no_data_the_audit_is_skipped_in_time(command, capsys):
    assert AUDIT["main"](command, seconds=2) == 0
    assert "skipped" in capsys.readouterr().out


def test_direct_dependencies_are_those_of_the_package_its_extras_and_the_checkout():
    found = AUDIT["direct_dependencies"]()
    assert {"dspy", "pystemmer", "mlflow", "torch", "pip-audit"} <= found
    assert "werkzeug" not in found
