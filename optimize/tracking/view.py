"""The saved view with which the MLflow UI opens: ``python -m optimize.tracking.view [PORT]``.

It prints the address, then serves the store on loopback (``make ui``). Where the store is a server
itself, it prints the address there and ends.
"""

import os
import sys

from optimize._compat import saved_view
from optimize.tracking.store import connect, store_uri
from task_delegator.errors import DelegatorError
from task_delegator.text import without_user

_KEY = "programs"
_PARAMS = ("data", "lm", "embedder", "optimizer", "preset")
_PROGRAMS = "params.trials != ''"  # which no other run has: evaluations, children, studies
_METRICS = (
    *("validation_top1", "test_n", "test_top1", "test_top1_low", "test_top1_high"),
    *("test_lm_n", "test_lm_top1"),
    *("test_assigned", "test_precision_assigned", "test_ece", "test_latency_ms_p50"),
)


def view_tag() -> tuple[str, str]:
    """Return the experiment's tag that holds the view: every program, also while it is made."""
    columns = [f"params.`{name}`" for name in _PARAMS] + [f"metrics.`{name}`" for name in _METRICS]
    return saved_view("Programs", _KEY, columns, _PROGRAMS)


def view_path(experiment: str) -> str:
    """Return the path and query of the view in the UI."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={_KEY}"


def main() -> int:
    """Print the address of the view and serve the store; return 3 where it cannot be used.

    Returns 0 where the store is a server: it is there already.
    """
    port = sys.argv[1] if len(sys.argv) > 1 else "5000"
    try:
        path = view_path(connect(view_tag()))
    except DelegatorError as error:
        sys.stderr.write(f"optimize.tracking.view: {error}\n")
        return error.exit_code
    store = store_uri()
    if store.lower().startswith(("http://", "https://")):
        sys.stdout.write(f"{without_user(store).rstrip('/')}{path}\n")
        return 0
    sys.stdout.write(f"http://127.0.0.1:{port}{path}\n")
    sys.stdout.flush()  # nothing is left of this process in a moment
    _serve(store, port)
    return 0


def _serve(store: str, port: str) -> None:
    """Become MLflow's server of a store, without jobs.

    The address of the store may hold a password, which every user would see in a command line.
    """
    serve = ("server", "--host", "127.0.0.1", "--port", port, "--workers", "1")
    settings = {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", *serve], os.environ | settings)


if __name__ == "__main__":
    sys.exit(main())
