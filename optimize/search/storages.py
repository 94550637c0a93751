"""Where Optuna studies are kept: storages by the names that a command takes."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import (
    BaseStorage,
    GrpcStorageProxy,
    JournalStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
)
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from task_delegator.errors import InputError

GRACE_SECONDS = 15  # without a heartbeat, after which a trial counts as dead
_HEARTBEAT_SECONDS = 5
# A driver that is not installed is an ImportError; a proxy that is silent a TimeoutError.
STORAGE_ERRORS = (SQLAlchemyError, OptunaError, OSError, ImportError)
_MAX_TRIES = 5  # where another process is making the tables
_WAIT_SECONDS = 1.0  # between them
_JOURNAL, _GRPC = "journal:", "grpc://"


def open_storage(location: str | Path | BaseStorage | None) -> BaseStorage | None:
    """Open what ``StudyLocation.storage`` names.

    Raises:
        InputError: a proxy's address is not one.
        OSError, ImportError, SQLAlchemyError, OptunaError: ``STORAGE_ERRORS``, of which
            ``describe_error`` makes one line.
    """
    if location is None or isinstance(location, BaseStorage):
        return location
    if isinstance(location, Path):
        return JournalStorage(JournalFileBackend(str(location)))
    if location.startswith(_JOURNAL):
        return JournalStorage(JournalFileBackend(location.removeprefix(_JOURNAL)))
    if location.startswith(_GRPC):
        host, _, port = location.removeprefix(_GRPC).rpartition(":")
        if not host or not port.isdecimal():
            raise InputError(f"--storage {location!r:.100}: must be {_GRPC}HOST:PORT")
        with experimental():
            proxy = GrpcStorageProxy(host=host, port=int(port))
            proxy.wait_server_ready(timeout=GRACE_SECONDS)
            return proxy
    return _open_database(location)


def describe_error(storage: str | Path | BaseStorage | None, error: Exception) -> str:
    """Return one line that does not show the password that a URL may hold."""
    reason = f"cannot be opened ({type(error).__name__})"
    if isinstance(storage, Path):
        return f"{storage}: {reason}; name another --out"
    scheme, found, _ = str(storage).partition("://")
    shown = f"--storage {scheme}://..." if found else "--storage"
    if isinstance(error, ImportError) and str(storage).startswith(_GRPC):
        return f"{shown}: {reason}; run pip install grpcio protobuf"
    return (
        f"{shown}: {reason}; give an Optuna storage URL such as sqlite:///study.db, journal:FILE, "
        f"{_GRPC}HOST:PORT or mlflow"
    )


def _open_database(location: str) -> BaseStorage:
    for tries_left in reversed(range(_MAX_TRIES)):
        try:
            with experimental():
                return RDBStorage(
                    location,
                    heartbeat_interval=_HEARTBEAT_SECONDS,
                    grace_period=GRACE_SECONDS,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
                )
        except (IntegrityError, ProgrammingError):  # two processes made the same tables
            if not tries_left:
                raise
            time.sleep(_WAIT_SECONDS)
    raise AssertionError("the last try returns or raises")


@contextmanager
def experimental() -> Iterator[None]:
    """Use what Optuna has called experimental for years: heartbeats, and Wilcoxon's pruner."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
