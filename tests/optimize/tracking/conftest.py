"""What tests of MLflow share: a store of their own that no other file's tests choose."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from tracking import empty_store


def _forget() -> None:
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    mlflow.clear_active_model()  # `mlflow.pyfunc.load_model` leaves one, of its own store


@pytest.fixture
def no_store_left_over() -> Iterator[None]:
    """Neither another file's tests choose the store and the model of these, nor these theirs."""
    _forget()
    yield
    _forget()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URI of an empty store, beside which the test works."""
    monkeypatch.chdir(tmp_path)
    uri = empty_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri
