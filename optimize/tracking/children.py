"""Child runs of a run, each made once however often the work is resumed."""

from collections.abc import Mapping

import mlflow

_MOST_RUNS = 50_000  # that MLflow returns at once


class Children:
    """The child runs of one kind.

    Args:
        experiment: its id.
        parent: id of the run.
        kind: such as ``candidate``; a child is named by it and its number.
    """

    def __init__(self, experiment: str, parent: str, kind: str) -> None:
        self._client = mlflow.MlflowClient()
        self._experiment, self._parent, self._kind = experiment, parent, kind
        found = self._client.search_runs(
            [experiment],
            f"tags.`mlflow.parentRunId` = '{parent}' and tags.kind = '{kind}'",
            max_results=_MOST_RUNS,
        )
        self._known = {int(run.data.tags["number"]): run.info for run in found}

    def open(self, number: int, tags: Mapping[str, str]) -> str | None:
        """Return the id of the child run to (re)write, or None if it is complete."""
        known = self._known.get(number)
        if known is not None:
            return None if known.status == "FINISHED" else known.run_id
        names = {
            "mlflow.parentRunId": self._parent,
            "mlflow.runName": f"{self._kind} {number}",
            "kind": self._kind,
            "number": str(number),
        }
        return self._client.create_run(self._experiment, tags=names | dict(tags)).info.run_id
