"""Settings and fixtures that every test shares."""

import os

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import dspy
import pytest
from small import office_registry

from task_delegator.agents import Registry


@pytest.fixture(autouse=True)
def _no_lm_left_over():
    """No test sees another's LM."""
    yield
    dspy.configure(lm=None)


@pytest.fixture
def office() -> Registry:
    return office_registry()
