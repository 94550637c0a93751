"""What is used of MLflow, DSPy and Optuna beside their public surfaces is still there, and still needed."""

import logging

import mlflow
import optuna
import pandas as pd
import pytest
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils as databases
from mlflow.tracking import MlflowClient, fluent
from sqlalchemy.exc import SQLAlchemyError
from tracking import empty_store

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


def test_the_active_model_of_another_store_is_set_aside(tmp_path):
    client = MlflowClient(empty_store(tmp_path))
    run = client.create_run("0").info.run_id
    top1 = [Metric("top1", 1.0, 0, 0)]
    vars(fluent)["_set_active_model_id"]("m-another")
    try:
        with pytest.raises(MlflowException, match="FOREIGN KEY"):
            client.log_batch(run, metrics=top1)
        with _compat.without_active_model():
            client.log_batch(run, metrics=top1)
        assert mlflow.get_active_model_id() == "m-another"
    finally:
        mlflow.clear_active_model()
    assert client.get_run(run).data.metrics == {"top1": 1.0}


@pytest.fixture
def told():
    """What Optuna logs, as it would be printed."""
    records: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logger, kept = logging.getLogger("optuna"), Kept()
    logger.addHandler(kept)
    yield records
    logger.removeHandler(kept)


def test_optuna_logs_what_a_trial_raises_unless_it_is_told(told):
    def stopped(trial):
        raise KeyboardInterrupt

    study = optuna.create_study()
    with pytest.raises(KeyboardInterrupt):
        study.optimize(stopped, n_trials=1)
    assert len(told) == 2
    told.clear()
    with _compat.without_raised_trials(), pytest.raises(KeyboardInterrupt):
        study.optimize(stopped, n_trials=1)
    assert told == []


def test_optuna_still_warns_of_a_score_that_is_none(told):
    with _compat.without_raised_trials():
        optuna.create_study().optimize(lambda trial: float("nan"), n_trials=1)
    assert len(told) == 2
