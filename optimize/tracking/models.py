"""Agent versions: a compiled program as MLflow's LoggedModel.

MLflow shows them as versions of an agent. One is begun with the compilation, is linked to its
params, metrics, traces and prompts, gets the program in the end, and is registered by ``promote``.

MLflow's ``enable_git_model_versioning`` does not fit: it makes a version per commit, not per
program, refuses a detached HEAD, and stores the uncommitted changes and the remote's address.
The tags that it sets are set here, without these two.
"""

import re
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from shutil import copytree

import mlflow
from mlflow.entities import LoggedModel
from mlflow.models import Model
from mlflow.tracking import MlflowClient

from optimize.provenance import commit
from task_delegator.artifact import AGENTS, MANIFEST, PROGRAM, find
from task_delegator.errors import ProgramError
from task_delegator.registry import Registry
from task_delegator.system import sha256_file, sha256_text

_KIND = "agent"
PROGRAM_SHA256, _AGENTS = "program_sha256", "agents_sha256"
_REFUSED = re.compile(r"[^\w-]+")  # in a name, by MLflow: / : . % and quotes
_PATH = "artifacts/program"  # of the program, below the model


def begin(name: str, run_id: str, experiment: str, params: Mapping[str, str]) -> str:
    """Return the id of the agent version that a run compiles, the one it began where it did."""
    client = MlflowClient()
    for held in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        return held.model_id
    return mlflow.initialize_logged_model(
        _REFUSED.sub("-", name).strip("-"),
        source_run_id=run_id,
        experiment_id=experiment,
        model_type=_KIND,
        params=dict(params),
        tags=git_tags(),
    ).model_id


def git_tags() -> dict[str, str]:
    """Return the tags of MLflow's git versioning; none outside a checkout."""
    found = commit()
    if found == "unknown":
        return {}
    dirty = str(found.endswith("+")).lower()
    return {"mlflow.source.git.commit": found.rstrip("+"), "mlflow.source.git.dirty": dirty}


def complete(model_id: str, folder: Path, run_id: str | None, registry: Registry | None) -> None:
    """Give an agent version its program and make it ready.

    Args:
        folder: of the program.
        run_id: of the run that compiled it.
        registry: the agents that it serves; None leaves them out.
    """
    with tempfile.TemporaryDirectory() as scratch:
        packed, whole = Path(scratch) / "program", Path(scratch) / "model"
        copytree(folder, packed)
        if registry is not None:
            registry.save(packed / AGENTS)
        mlflow.pyfunc.save_model(
            whole,
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            python_model=str(files("task_delegator") / "serve.py"),
            artifacts={"program": str(packed)},
            pip_requirements=["task-delegator"],
        )
        MlflowClient().log_model_artifacts(model_id, str(whole))
    served = {} if registry is None else {_AGENTS: registry.sha256()}
    tags = {PROGRAM_SHA256: _digest(folder), **served}
    mlflow.set_logged_model_tags(model_id, tags)
    mlflow.finalize_logged_model(model_id, "READY")


def fail(model_id: str) -> None:
    """Mark an agent version as failed, unless it is ready."""
    if mlflow.get_logged_model(model_id).status != "READY":
        mlflow.finalize_logged_model(model_id, "FAILED")


def program_digest(program: str) -> str | None:
    """Return the digest by which a program is known wherever it lies; None where there is none.

    Args:
        program: its folder, name or URI, as ``load`` takes it.
    """
    try:
        return _digest(find(program))
    except ProgramError:
        return None


def holding(digest: str, experiment: str) -> str | None:
    """Return the id of an agent version that holds a program; None where there is none.

    Args:
        digest: of the program, by ``program_digest``.
        experiment: where it was compiled.
    """
    query = f"tags.{PROGRAM_SHA256} = '{digest}'"
    found = MlflowClient().search_logged_models([experiment], query)
    return next((model.model_id for model in found if model.status == "READY"), None)


def serving(folder: Path, registry: Registry, experiment: str, name: str) -> LoggedModel:
    """Return the agent version that holds a program and serves a registry.

    The one that was made by compiling is given the agents, which no compilation stores. Where it
    serves others already, or the program was compiled elsewhere, another is made.
    """
    client, agents = MlflowClient(), registry.sha256()
    found = client.search_logged_models(
        [experiment], f"tags.{PROGRAM_SHA256} = '{_digest(folder)}'"
    )
    ready = [model for model in found if model.status == "READY"]
    for model in ready:
        if model.tags.get(_AGENTS) == agents:
            return model
    for model in ready:
        if _AGENTS not in model.tags:
            with tempfile.TemporaryDirectory() as scratch:
                registry.save(Path(scratch) / AGENTS)
                client.log_model_artifact(model.model_id, str(Path(scratch) / AGENTS), _PATH)
            mlflow.set_logged_model_tags(model.model_id, {_AGENTS: agents})
            return model
    made = mlflow.initialize_logged_model(
        _REFUSED.sub("-", name).strip("-"),
        experiment_id=experiment,
        model_type=_KIND,
        tags=git_tags(),
    )
    complete(made.model_id, folder, made.source_run_id, registry)
    return made


def _digest(folder: Path) -> str:
    return sha256_text("".join(sha256_file(folder / name) for name in (PROGRAM, MANIFEST)))
