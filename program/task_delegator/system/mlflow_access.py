"""Read what MLflow keeps under a URI; MLflow is an extra, and its messages may hold a password."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from ..errors import DelegatorError
from ..text import describe_error, without_user

Found = TypeVar("Found")


def read_mlflow(uri: str, read: Callable[[Any], Found], error: type[DelegatorError]) -> Found:
    """Return what a function reads with MLflow.

    Args:
        uri: of what is read, for messages.
        read: is given the module ``mlflow``.
        error: to raise.

    Raises:
        DelegatorError: MLflow is not installed, or does not find or reach it; of the type given.
    """
    try:
        mlflow: Any = import_module("mlflow")
    except ImportError as missing:
        raise error(
            f"{uri}: MLflow is not installed; run pip install 'task-delegator[mlflow]'"
        ) from missing
    try:
        return read(mlflow)
    except DelegatorError:
        raise
    except Exception as refused:  # beside MLflow's own, those of a store's driver and of requests
        store = mlflow.get_tracking_uri()
        # Drivers quote parts of an address, that of a password too.
        hidden = "@" in store or without_user(store) != store
        said = type(refused).__name__ if hidden else describe_error(refused)
        raise error(f"{uri}: {said}; see MLFLOW_TRACKING_URI") from refused
