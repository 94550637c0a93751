"""Private surfaces of MLflow and DSPy that this package needs, each with its reason.

``tests/test_optimize_compat.py`` fails when one of them changes, or is needed no longer.
MLflow is imported where it is needed.
"""

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
