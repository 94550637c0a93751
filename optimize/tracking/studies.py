"""Optuna studies that are kept in MLflow: ``--storage mlflow``."""

from typing import Any

from mlflow.tracking import MlflowClient

from optimize.tracking.store import connect, translate_store_errors

MLFLOW = "mlflow"
EXPERIMENT = "task-delegator studies"  # a run per study and per trial, apart from the programs


def study_storage(storage: str | None) -> Any:
    """Return the storage of a study; the name ``mlflow`` stands for MLflow's own.

    Args:
        storage: as the command line names it.

    Raises:
        StoreError: MLflow's store cannot be used.
    """
    if storage != MLFLOW:
        return storage
    connect()
    from mlflow.optuna.storage import MlflowStorage  # it needs Optuna, which others do without

    client = MlflowClient()
    with translate_store_errors():
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
        return MlflowStorage(experiment_id=experiment)
