"""The saved view with which the MLflow UI opens: ``python -m optimize.tracking.view [PORT]``.

It prints the address, for a server of the local store on loopback (``make ui``).
"""

import sys

from optimize._compat import saved_view
from optimize.tracking.store import connect
from task_delegator.errors import DelegatorError

_KEY = "programs"
_PARAMS = ("data", "lm", "embedder", "optimizer", "preset")
_PROGRAMS = "params.trials != ''"  # which no other run has: evaluations, children, studies
_METRICS = (
    *("validation_top1", "test_top1", "test_top1_low", "test_top1_high", "test_lm_top1"),
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
    """Print the address of the view; return 0, or 3 where the store cannot be used."""
    port = sys.argv[1] if len(sys.argv) > 1 else "5000"
    try:
        sys.stdout.write(f"http://127.0.0.1:{port}{view_path(connect(view_tag()))}\n")
    except DelegatorError as error:
        sys.stderr.write(f"optimize.tracking.view: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
