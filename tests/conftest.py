"""Settings and fixtures that every test shares."""

import os

# Processes of tests share the processors: no BLAS takes them all. It is read at numpy's import.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# MLflow's list of models is the one that it carries: no test waits for the network.
os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")

import dspy
import pytest
from hypothesis import settings
from small import office_registry

from task_delegator.registry.agents import Registry

# Machines differ: how long an example takes says nothing of whether a rule holds.
settings.register_profile("any-machine", deadline=None, max_examples=60)
settings.load_profile("any-machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what shares a fixture of its module in one process, so that it is made once."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and _shares_of_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _shares_of_its_module(item: pytest.Item) -> bool:
    found = getattr(item, "_fixtureinfo", None)  # a doctest has none
    return found is not None and any(
        definitions[-1].scope == "module" for definitions in found.name2fixturedefs.values()
    )


@pytest.fixture(autouse=True)
def _no_lm_left_over():
    """No test sees another's LM."""
    yield
    dspy.configure(lm=None)


@pytest.fixture
def office() -> Registry:
    return office_registry()
