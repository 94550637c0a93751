"""MLflow's prompt registry: what the predictors of a program are told, by version and alias.

A prompt is named ``NAME.PREDICTOR``, NAME that of the registered model. A version is made where
no version has the text: the history of a prompt is that of its texts, whoever compiled when.
Demos are requests of the training data; they are registered because they are the program.
"""

import json
from collections.abc import Mapping

from mlflow import genai
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

MODEL = "delegator"  # the registered model, where no other is named
WRITTEN = "as its signature is written"
_LINKED = "prompts"  # tag of a model's version: the versions of its prompts, as JSON
_NONE_YET = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class Prompts:
    """The prompts of the predictors of a registered model.

    Args:
        model: its name, which those of the prompts begin with.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._client = MlflowClient()

    def register(
        self, texts: Mapping[str, str], message: str, tags: Mapping[str, str]
    ) -> dict[str, int]:
        """Return the version that has each text, registered where none has it.

        Args:
            texts: by predictor.
            message: of the versions that are made, as a commit has one.
            tags: of these versions.
        """
        return {
            predictor: self._version(predictor, text, message, tags)
            for predictor, text in texts.items()
        }

    def link(self, versions: Mapping[str, int], model_id: str, run_id: str | None) -> None:
        """Link versions of prompts to the agent version that has them, and to the run."""
        for predictor, version in versions.items():
            name = self._name(predictor)
            self._client.link_prompt_version_to_model(name, str(version), model_id)
            if run_id is not None:
                self._client.link_prompt_version_to_run(run_id, f"prompts:/{name}/{version}")

    def note(self, version: str, prompts: Mapping[str, int]) -> None:
        """Note on a version of the registered model which versions its prompts have."""
        self._client.set_model_version_tag(
            self._model, version, _LINKED, json.dumps(dict(prompts), sort_keys=True)
        )

    def move_alias(self, alias: str, version: str) -> None:
        """Give the prompts of a version of the registered model an alias."""
        held = self._client.get_model_version(self._model, version).tags.get(_LINKED, "{}")
        for predictor, number in json.loads(held).items():
            genai.set_prompt_alias(self._name(predictor), alias, int(number))

    def _name(self, predictor: str) -> str:
        return f"{self._model}.{predictor}"

    def _version(self, predictor: str, text: str, message: str, tags: Mapping[str, str]) -> int:
        name = self._name(predictor)
        try:
            known = self._client.search_prompt_versions(name)
        except MlflowException as error:
            if error.error_code not in _NONE_YET:
                raise
            known = []
        for version in known:
            if version.template == text:
                return int(version.version)
        made = genai.register_prompt(
            name, text, commit_message=message, tags={"predictor": predictor, **tags}
        )
        return int(made.version)
