"""Private surfaces of MLflow, DSPy and Optuna that this package needs, each with its reason.

``tests/test_optimize_compat.py`` fails when one of them changes, or is needed no longer.
MLflow is imported where it is needed.
"""

import base64
import json
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dspy.lm15 import (  # what an engine of ``dspy.LM`` is given and returns
    InvalidRequestError,
    Message,
    Request,
    Response,
    TokenLogprob,
    TopLogprob,
    Usage,
)

__all__ = [
    "InvalidRequestError",
    "Message",
    "Request",
    "Response",
    "TokenLogprob",
    "TopLogprob",
    "Usage",
    "limit_database_tries",
    "local_source",
    "saved_view",
    "without_active_model",
    "without_raised_trials",
]


def limit_database_tries(tries: int) -> None:
    """Let MLflow try a database that many times before it gives up.

    It has no setting for that. Its ten tries take two minutes, in which nothing is said.
    """
    from mlflow.store.db import utils

    utils.MAX_RETRY_COUNT = tries


def local_source(folder: Path) -> Any:
    """Return a folder as the source of a dataset that MLflow logs.

    MLflow registers its class for local folders twice, under two schemes, so that a path given
    as a string comes with a warning. The classes are made at import time and have no types.
    """
    from mlflow.data import sources

    return vars(sources)["LocalArtifactDatasetSource"](str(folder))


def saved_view(name: str, key: str, columns: Sequence[str], search: str) -> tuple[str, str]:
    """Return the tag of an experiment with which MLflow's UI offers a saved view of its runs.

    The UI alone writes such views, as a tag each, and opens them by ``viewStateShareKey=KEY``.
    What a view leaves out is the UI's default.

    Args:
        name: that the UI lists.
        key: of the view.
        columns: such as ``metrics.`top1```.
        search: filter of the runs.
    """
    state = {
        "searchFilter": search,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "runsHiddenMode": "FIRST_10_RUNS",
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return f"mlflow.sharedViewState.{key}", json.dumps(view)


@contextmanager
def without_active_model() -> Iterator[None]:
    """Set the user's active model aside for a block.

    MLflow gives it every metric that is logged, also where it is of another store, which then
    refuses the metric. Public is only a way to clear it, none to bring it back unasked.
    """
    from mlflow.tracking import fluent

    context: Any = vars(fluent)["_ACTIVE_MODEL_CONTEXT"]
    held, none = context.get(), fluent.ActiveModelContext()
    vars(none)["_model_id"] = None  # the default is that of an environment variable
    context.set(none)
    try:
        yield
    finally:
        context.set(held)


@contextmanager
def without_raised_trials() -> Iterator[None]:
    """Keep Optuna from logging what a trial of the block raises: it reaches the caller as well.

    Optuna has no setting for that but one that silences its other warnings too. It logs two, one
    with a traceback, before a command says in its one line that it was stopped.
    """
    logger = logging.getLogger("optuna.study._optimize")
    logger.addFilter(_is_no_raised_trial)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_raised_trial)


def _is_no_raised_trial(record: logging.LogRecord) -> bool:
    """Tell whether a record is of something else: a trial that raised has no value."""
    return not record.exc_info and not record.getMessage().endswith("failed with value None.")
