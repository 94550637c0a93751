"""MLflow's model registry: versions of a program and their aliases."""

from importlib.resources import files
from pathlib import Path

import mlflow
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from optimize.tracking.store import connect
from task_delegator.artifact import find


class Models:
    """The registered model ``name``: its versions and the aliases champion and previous."""

    def __init__(self, name: str = "delegator") -> None:
        connect()
        self.name = name
        self._client = MlflowClient()

    def version(self, alias: str) -> str | None:
        """Return the version with an alias, or None."""
        try:
            return str(self._client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def download_from_run(self, run_id: str, target: Path) -> Path | None:
        """Download the program of a run; return its folder, or None if there is no such run."""
        try:
            self._client.get_run(run_id)
        except MlflowException:
            return None
        target.mkdir()
        whole = download_artifacts(run_id=run_id, dst_path=str(target))
        return Path(whole) / "program"

    def download(self, version: str) -> Path:
        """Download a version; return its program's folder."""
        return find(f"models:/{self.name}/{version}")

    def register(self, folder: Path, source: str) -> str:
        """Register a program's folder, agents included, as a new version; return the version."""
        with mlflow.start_run(run_name=f"promote {source}", tags={"kind": "promote"}):
            logged = mlflow.pyfunc.log_model(
                name=self.name,
                python_model=str(files("task_delegator") / "serve.py"),
                artifacts={"program": str(folder)},
                pip_requirements=["task-delegator"],
                registered_model_name=self.name,
            )
        return str(logged.registered_model_version)

    def set_champion(self, version: str, previous: str | None) -> None:
        """Give a version the alias champion, and the champion before it the alias previous."""
        if previous is not None:
            self._client.set_registered_model_alias(self.name, "previous", previous)
        self._client.set_registered_model_alias(self.name, "champion", version)
