"""Settings and fixtures that every test shares."""

import os

# Processes of tests share the processors: no BLAS takes them all. It is read at numpy's import.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import dspy
import pytest
from hypothesis import settings
from small import office_registry

from task_delegator.registry.agents import Registry

# Machines differ: how long an example takes says nothing of whether a rule holds.
settings.register_profile("any-machine", deadline=None, max_examples=60)
settings.load_profile("any-machine")


@pytest.fixture(autouse=True)
def _no_lm_left_over():
    """No test sees another's LM."""
    yield
    dspy.configure(lm=None)


@pytest.fixture
def office() -> Registry:
    return office_registry()
