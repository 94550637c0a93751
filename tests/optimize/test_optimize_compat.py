"""What is used of MLflow and DSPy beside their public surfaces is still there, and still needed."""

import dspy
import pandas as pd
import pytest
from dspy.utils.callback import BaseCallback
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.pandas_dataset import from_pandas
from mlflow.store.db import utils as databases
from sqlalchemy.exc import SQLAlchemyError

from optimize import _compat


def test_mlflow_tries_a_database_ten_times_unless_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "MAX_RETRY_COUNT", databases.MAX_RETRY_COUNT)
    assert isinstance(databases.MAX_RETRY_COUNT, int)
    waits = []
    monkeypatch.setattr("mlflow.store.db.utils.time.sleep", waits.append)
    _compat.limit_database_tries(3)
    with pytest.raises(SQLAlchemyError):
        databases.create_sqlalchemy_engine_with_retry(f"sqlite:///{tmp_path}")  # a folder
    assert len(waits) == 2


def test_mlflow_takes_a_path_for_the_source_of_a_dataset_only_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="interpreted in multiple ways"):
        theirs = resolve_dataset_source(str(tmp_path))
    # Warnings are errors in tests.
    source = _compat.local_source(tmp_path)
    ours = from_pandas(pd.DataFrame({"x": ["a"]}), source=source, digest="0").source
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.to_dict() == theirs.to_dict() == {"uri": str(tmp_path)}


def test_dspy_tells_which_call_a_call_is_made_from():
    class Inner(dspy.Module):
        def forward(self):
            return dspy.Prediction()

    class Outer(dspy.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self):
            return self.inner()

    class Parents(BaseCallback):
        def __init__(self):
            self.calls = []

        def on_module_start(self, call_id, instance, inputs):
            self.calls.append((type(instance).__name__, call_id, _compat.active_call()))

    recorder = Parents()
    with dspy.context(callbacks=[recorder]):
        Outer()()
    (outer, outer_id, above), (inner, _, parent) = recorder.calls
    assert (outer, inner) == ("Outer", "Inner")
    assert (above, parent) == (None, outer_id)
    assert _compat.active_call() is None
