"""What is said and recorded of a store and of LMs holds no password of their addresses."""

from pathlib import Path

import mlflow
import pytest

from optimize.config import Options
from optimize.pipeline.compile import shown_settings
from optimize.tracking.store import translate_store_errors
from task_delegator.errors import StoreError


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://bob:hun@ter22@host:5000/x", "http://host:5000/x:"),
        ("http://bob:p://ter22@host", "http://host:"),
        ("bob:ter22@host", "host:"),
        ("mysql://host/db?password=ter22", "mysql://host/db:"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db:"),
    ],
)
def test_a_store_that_fails_is_named_without_its_password(uri, shown, monkeypatch):
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    with pytest.raises(StoreError) as caught, translate_store_errors():
        raise OSError(f"cannot reach {uri}")
    assert str(caught.value).startswith(f"MLFLOW_TRACKING_URI {shown}")
    assert "ter22" not in repr(caught.value)


def test_settings_are_recorded_without_passwords():
    options = Options(Path("out"), lm="systemone:http://bob:ter22@host", teacher="a/b")
    recorded = shown_settings(options.resolved(has_lm=True))
    assert recorded["lm"] == "systemone:http://host"
    assert recorded["teacher"] == "a/b"
