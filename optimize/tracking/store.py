"""Connect to the MLflow store; failures become one line without passwords."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from optimize._compat import limit_database_tries
from task_delegator.errors import StoreError
from task_delegator.system import sha256_text

EXPERIMENT = "task-delegator"
STORE = Path("mlflow.db")
_DESCRIBED = "mlflow.note.content"
# One line of the pages' width: it stands above all of them.
_DESCRIPTION = (
    "Programs side by side: *Model training*, *Training runs*, view *Programs*; by request: "
    "*Evaluation runs*."
)
# What a store, its server or its disk raise; requests' errors are OSErrors. Nothing else is caught.
STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError)
_DATABASE_TRIES = 4  # within a second; MLflow's ten take two minutes


def connect(tag: tuple[str, str] | None = None) -> str:
    """Open the store and return the experiment's id.

    Args:
        tag: key and value of a tag that the experiment gets where it has not got it, and with it
            a description where it has none.

    Raises:
        StoreError: the store cannot be used.
    """
    # Errors are raised as well; logged by these they would come with stack traces and addresses.
    for noisy, level in {
        "alembic": logging.WARNING,
        "mlflow.tracking.fluent": logging.WARNING,
        "mlflow.store.db.utils": logging.CRITICAL,
        "urllib3.connectionpool": logging.ERROR,
    }.items():
        logging.getLogger(noisy).setLevel(level)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # files are small
    limit_database_tries(_DATABASE_TRIES)
    with translate_store_errors():
        mlflow.set_tracking_uri(store_uri())  # traces follow only what is set
        experiment = mlflow.set_experiment(EXPERIMENT)
        if tag is not None and experiment.tags.get(tag[0]) != tag[1]:
            mlflow.set_experiment_tag(*tag)
            if _DESCRIBED not in experiment.tags:  # lists of experiments show it
                mlflow.set_experiment_tag(_DESCRIBED, _DESCRIPTION)
        return experiment.experiment_id


def digest() -> str:
    """Return a digest of where runs are kept; the address itself may hold a password."""
    return sha256_text(store_uri())[:12]


def store_uri() -> str:
    """Return where runs are kept; it may hold a password."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE.resolve()}"


@contextmanager
def translate_store_errors() -> Iterator[None]:
    """Turn failures of the store into one line that names it without its password.

    Raises:
        StoreError: the store cannot be used.
    """
    try:
        yield
    except (*STORE_ERRORS, ImportError) as error:  # a database's driver may be missing
        uri = mlflow.get_tracking_uri()
        scheme = uri[: uri.find("://") + 3] if "://" in uri else ""
        shown = scheme + uri[len(scheme) :].rpartition("@")[2].partition("?")[0]
        raise StoreError(
            f"MLFLOW_TRACKING_URI {shown}: cannot be used ({describe_cause(error)}); "
            f"start what serves it, or unset it for a local {STORE}"
        ) from error


def describe_cause(error: BaseException) -> str:
    """Return the type and code of an error's root cause; its message may hold a password."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return " ".join([type(error).__name__, str(getattr(error, "error_code", ""))]).strip()
