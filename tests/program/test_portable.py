"""Retrieval works where there is no POSIX: no ``fcntl``, no ``fork``."""

import subprocess
import sys

import pytest
from small import ROOT

CODE = """
import os, sys
sys.modules["fcntl"] = None
for name in ("register_at_fork", "fork", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
import task_delegator
from task_delegator import Agent, LMError, Registry, language_model, load
registry = Registry.load("datasets/agents.json")
program = load("default", registry)
delegation = program("Our card was charged twice in May, who checks that?")
assert delegation.top3, delegation
assert delegation.usage.lm_calls == 0
assert "task_delegator.lm.server" not in sys.modules
try:
    language_model("embedded")
except LMError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_package_delegates_without_posix_and_says_what_the_embedded_lm_needs():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "needs Linux or macOS (no fcntl here)" in done.stdout
    assert done.stdout.count("\n") == 1
