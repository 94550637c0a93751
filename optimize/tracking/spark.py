"""Trials of an Optuna study on Spark, by MLflow's ``MlflowSparkStudy``: ``--spark``."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from optimize.search import Objective, Spread
from optimize.tracking.studies import EXPERIMENT
from task_delegator.errors import StoreError
from task_delegator.system import needed

_PACKAGE = Path(__file__).parents[1]  # this one, which no wheel holds


def on_spark(storage: Any, master: str = "") -> Spread:
    """Return what runs trials of a study on the executors of Spark.

    They write to the same store. Each runs its share of the trials one after the other.

    Args:
        storage: MLflow's, which the study is kept in.
        master: address of Spark; empty for that of the environment.

    Raises:
        InputError: pyspark is not installed.
        StoreError: by what is returned: Spark does not start, or trials fail on it.
    """
    with needed("spark"):
        import_module("pyspark.sql")

    def spread(study: Any, objective: Objective, trials: int) -> None:
        from mlflow.pyspark.optuna.study import MlflowSparkStudy

        logging.getLogger("mlflow.pyspark.optuna").setLevel(logging.WARNING)
        with _session(master) as session, _with_this_package(session), _in_one_line():
            there = MlflowSparkStudy(
                study.study_name,
                storage,
                sampler=study.sampler,
                pruner=study.pruner,
                mlflow_tracking_uri=mlflow.get_tracking_uri(),
            )
            jobs = min(trials, session.sparkContext.defaultParallelism)
            there.optimize(objective, n_trials=trials, n_jobs=jobs)

    return spread


@contextmanager
def _session(master: str) -> Iterator[Any]:
    """Use the session that is active, or one that ends with the block.

    Raises:
        StoreError: Spark does not start.
    """
    sessions = import_module("pyspark.sql").SparkSession
    if (active := sessions.getActiveSession()) is not None:
        yield active
        return
    # For executors of this machine; what each trial drew is in its run.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    building = sessions.builder.appName("task-delegator search")
    try:
        session = (building.master(master) if master else building).getOrCreate()
    except (*_spark_errors(), OSError) as error:
        raise StoreError(
            f"--spark {master}: Spark does not start ({type(error).__name__}); it needs Java 17 "
            "or later, and a MASTER that answers"
        ) from error
    try:
        yield session
    finally:
        session.stop()


@contextmanager
def _with_this_package(session: Any) -> Iterator[None]:
    """Give the executors the code of the objective; they have the wheel, not the checkout."""
    with TemporaryDirectory() as folder:
        packed = shutil.make_archive(
            f"{folder}/{_PACKAGE.name}", "zip", _PACKAGE.parent, _PACKAGE.name
        )
        session.sparkContext.addPyFile(packed)
        yield


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Name trials that fail on executors in one line; their runs keep what happened.

    Raises:
        StoreError: a trial failed, or Spark did.
    """
    try:
        yield
    except (MlflowException, *_spark_errors()) as error:
        raise StoreError(
            f"--spark: trials failed on the executors ({type(error).__name__}); what Spark logged "
            f"says why, or their runs in the experiment {EXPERIMENT!r}; executors need "
            "task-delegator[mlflow], optuna and a way to the store"
        ) from error


def _spark_errors() -> tuple[type[Exception], ...]:
    """Return what Spark raises: in this process, and in Java."""
    spark, java = import_module("pyspark.errors"), import_module("py4j.protocol")
    return spark.PySparkException, java.Py4JError
