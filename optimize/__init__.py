"""Compile, search, calibrate and evaluate delegators. A package of the checkout only."""

import os

from task_delegator.system import draw_bars_on_terminals_only

draw_bars_on_terminals_only()
# MLflow reads these, some of them while it is imported: hence before any module here imports it.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",  # spans written in the background get lost
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a line per run, among the results
    # A server that died costs a few seconds, not the four minutes of MLflow's seven retries.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}.items():
    os.environ.setdefault(_name, _value)
