"""MLflow's model registry: versions of a program and their aliases."""

from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from optimize.tracking.models import serving
from optimize.tracking.prompts import MODEL, Prompts
from optimize.tracking.store import connect
from task_delegator.artifact import find
from task_delegator.registry import Registry


class Models:
    """The registered model ``name``: its versions and the aliases champion and previous."""

    def __init__(self, name: str = MODEL) -> None:
        self._experiment = connect()
        self.name = name
        self._client = MlflowClient()
        self._prompts = Prompts(name)

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

    def register(
        self, folder: Path, agents: Registry, prompts: Mapping[str, str], source: str
    ) -> str:
        """Register the agent version of a program that serves these agents; return the version.

        It is the very one that was compiled. A program that was compiled elsewhere gets its own.

        Args:
            folder: of the program.
            prompts: of the program, by predictor.
            source: what the program was named by.
        """
        model = serving(folder, agents, self._experiment, f"{self.name} {source}")
        made = mlflow.register_model(f"models:/{model.model_id}", self.name)
        versions = self._prompts.register(prompts, f"promoted {source}", {})
        self._prompts.link(versions, model.model_id, None)
        self._prompts.note(str(made.version), versions)
        return str(made.version)

    def set_champion(self, version: str, previous: str | None) -> None:
        """Give a version the alias champion, and the champion before it the alias previous.

        The prompts of the two versions get the same aliases.
        """
        for alias, given in (("previous", previous), ("champion", version)):
            if given is not None:
                self._client.set_registered_model_alias(self.name, alias, given)
                self._prompts.move_alias(alias, given)
