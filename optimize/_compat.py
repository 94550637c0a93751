"""Private surfaces of MLflow and DSPy that this package needs, each with its reason.

``tests/test_optimize_compat.py`` fails when one of them changes, or is needed no longer.
MLflow is imported where it is needed: who records spans does without it.
"""

import base64
import json
import zlib
from collections.abc import Sequence
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
from dspy.utils.callback import ACTIVE_CALL_ID

__all__ = [
    "InvalidRequestError",
    "Message",
    "Request",
    "Response",
    "TokenLogprob",
    "TopLogprob",
    "Usage",
    "active_call",
    "limit_database_tries",
    "local_source",
    "saved_view",
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


def active_call() -> str | None:
    """Return the id of the DSPy call that a callback's call is made from, None at the top.

    DSPy gives callbacks the id of a call, and that of its parent to nobody.
    """
    return ACTIVE_CALL_ID.get()
