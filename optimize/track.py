"""Track compilations in MLflow: the only file that imports it.

A run holds params, dataset inputs with digests, metrics, the compiled program, plots and
tables. No LM key or header goes into it, and no task beyond those that the compiled
program itself carries (demos, learned samples).
"""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

# Set before mlflow is imported: no telemetry, no pickles, and traces that are complete.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")

import matplotlib as mpl
import mlflow
import numpy as np
import pandas as pd
from mlflow.artifacts import download_artifacts
from mlflow.data import sources
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from optimize.data import SPLITS, Dataset
from optimize.evaluate import Outcome, outcomes_right
from optimize.metrics import reliability
from optimize.search import Trial
from task_delegator.artifact import find

mpl.use("Agg")
import matplotlib.pyplot as plt

# Made at import time, one class per kind of artifact store: no type checker sees it.
local_source: Any = getattr(sources, "LocalArtifactDatasetSource")  # noqa: B009
EXPERIMENT = "task-delegator"
STORE = Path("mlflow.db")
_MOST_CONFUSED = 25
_SENTENCES = ("task", "reason")  # of a result's rows, not to be in the name of a metric
_SIZES = ("agents", "asked")  # numbers that tell rows apart


class Run:
    """One tracked compilation; children are its search trials."""

    def __init__(self, run_id: str) -> None:
        self.id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Log what the compilation was asked to do."""
        mlflow.log_params({key: str(value)[:6000] for key, value in values.items()})

    def metrics(
        self, values: Mapping[str, float], prefix: str = "", step: int | None = None
    ) -> None:
        """Log numbers, at a step of something that goes on."""
        mlflow.log_metrics({prefix + key: value for key, value in values.items()}, step=step)

    def dataset(self, dataset: Dataset) -> None:
        """Log each split as an input, by digest and source; texts stay where they are."""
        for split, requests in dataset.splits.items():
            if not requests:
                continue
            labels = pd.DataFrame({"expected_agent": [r.expected for r in requests]})
            source = local_source(str(dataset.path.resolve()))
            digest = dataset.sha256(SPLITS[split])[:12]
            name = f"{dataset.path.name}:{split}"
            entry = from_pandas(labels, source=source, name=name, digest=digest)
            mlflow.log_input(entry, context=split)
        mlflow.log_dict(dataset.digests(), f"dataset_sha256/{dataset.path.name}.json")

    def trials(self, trials: Sequence[Trial]) -> None:
        """Log one child run per search trial, and the course of the search."""
        client = MlflowClient()
        experiment = mlflow.get_run(self.id).info.experiment_id
        best = 0.0
        for trial in trials:
            tags = {"mlflow.parentRunId": self.id, "mlflow.runName": f"trial {trial.number}"}
            child = client.create_run(experiment, tags={**tags, "kind": "trial"})
            client.log_batch(
                child.info.run_id,
                metrics=[Metric(name, v, 0, 0) for name, v in trial.metrics().items()],
                params=[Param(name, str(v)) for name, v in asdict(trial.knobs).items()],
                tags=[RunTag("stage", "search")],
            )
            client.set_terminated(child.info.run_id)
            best = max(best, trial.top1)
            mlflow.log_metrics(
                {"search_top1": trial.top1, "search_best_top1": best}, step=trial.number
            )

    def outcomes(self, outcomes: Sequence[Outcome], name: str) -> None:
        """Log a reliability plot and the most confused pairs of an evaluation."""
        mlflow.log_figure(reliability_plot(outcomes, name), f"plots/reliability_{name}.png")
        mlflow.log_table(confused_pairs(outcomes), f"tables/confused_pairs_{name}.json")

    def results(
        self, result: Path, plots: Sequence[Path], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Log an experiment: its result file, its pictures, and every rate as a metric."""
        mlflow.log_artifact(str(result), "results")
        for plot in plots:
            mlflow.log_artifact(str(plot), "plots")
        for row in rows:
            told = {k: v for k, v in row.items() if k not in _SENTENCES}
            label = " ".join(
                str(value) for key, value in told.items() if isinstance(value, str) or key in _SIZES
            )
            name = re.sub(r"[^\w /.:-]+", "", label)[:180]
            numbers = {k: v for k, v in row.items() if isinstance(v, float | int)}
            self.metrics(numbers, f"{name}/")

    def prompts(self, before: Any, after: Any) -> None:
        """Log a predictor's instructions and demos as texts, before and after optimising."""
        for when, predictor in (("before", before), ("after", after)):
            mlflow.log_text(predictor.signature.instructions, f"prompts/{when}_instructions.txt")
            demos = [dict(demo) for demo in predictor.demos]
            mlflow.log_dict({"demos": demos}, f"prompts/{when}_demos.json")

    def artifact(self, folder: Path) -> None:
        """Log the compiled program."""
        mlflow.log_artifacts(str(folder), "program")

    def files(self, folder: Path, names: Sequence[str], where: str) -> None:
        """Log some files of a folder."""
        for name in names:
            mlflow.log_artifact(str(folder / name), where)

    def note(self, text: str) -> None:
        """Put a markdown note on the run's page."""
        mlflow.set_tag("mlflow.note.content", text)


class Models:
    """The registered model ``name``: its versions and the aliases champion and previous."""

    def __init__(self, name: str = "delegator") -> None:
        _connect()
        self.name = name
        self._client = MlflowClient()

    def version(self, alias: str) -> str | None:
        """Return the version that an alias names, or None."""
        try:
            return str(self._client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def compiled(self, run_id: str, target: Path) -> Path | None:
        """Return the program's folder of a run, downloaded, or None where there is no such run."""
        try:
            self._client.get_run(run_id)
        except MlflowException:
            return None
        target.mkdir()
        whole = download_artifacts(run_id=run_id, dst_path=str(target))
        return Path(whole) / "program"

    def download(self, version: str) -> Path:
        """Return the program's folder of a version."""
        return find(f"models:/{self.name}/{version}")

    def register(self, folder: Path, source: str) -> str:
        """Log a program's folder, agents included, as a model; return its version."""
        mlflow.set_experiment(EXPERIMENT)
        with mlflow.start_run(run_name=f"promote {source}", tags={"kind": "promote"}):
            logged = mlflow.pyfunc.log_model(
                name=self.name,
                python_model=str(files("task_delegator") / "serve.py"),
                artifacts={"program": str(folder)},
                pip_requirements=["task-delegator"],
                registered_model_name=self.name,
            )
        return str(logged.registered_model_version)

    def crown(self, version: str, before: str | None) -> None:
        """Give a version the alias champion, and the one before it previous."""
        if before is not None:
            self._client.set_registered_model_alias(self.name, "previous", before)
        self._client.set_registered_model_alias(self.name, "champion", version)


def _connect() -> None:
    for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(f"sqlite:///{STORE.resolve()}")


def store() -> str:
    """Return a digest of where runs are kept; the address itself may hold a password."""
    _connect()
    return hashlib.sha256(mlflow.get_tracking_uri().encode()).hexdigest()[:12]


@contextmanager
def run(name: str, tags: Mapping[str, str], begun: str | None = None) -> Iterator[Run]:
    """Track a block as one run in the experiment; the store is ``mlflow.db`` or the env's.

    Args:
        name: of the run.
        tags: of the run.
        begun: id of a run that was interrupted, to go on with.
    """
    _connect()
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(begun, run_name=name, tags=dict(tags)) as active:
        yield Run(active.info.run_id)


def reliability_plot(outcomes: Sequence[Outcome], name: str) -> Any:
    """Return a figure: stated confidence against the share that was right."""
    confidences = np.array([outcome.delegation.confidence for outcome in outcomes])
    right = outcomes_right(outcomes)
    parts = reliability(confidences, right)
    stated, observed = [part[0] for part in parts], [part[1] for part in parts]
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot(stated, observed, marker="o")
    axes.set(
        xlabel=f"stated confidence (bins of equal mass, n = {len(right)})",
        ylabel="share that was right",
        title=f"Reliability, {name}",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    plt.close(figure)
    return figure


def confused_pairs(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return the pairs (expected, given) that were confused most, with counts."""
    wrong = Counter(
        (outcome.request.expected, outcome.ranking[0])
        for outcome in outcomes
        if not outcome.right and outcome.ranking
    )
    rows = [(*pair, count) for pair, count in wrong.most_common(_MOST_CONFUSED)]
    return pd.DataFrame(rows, columns=pd.Index(["expected", "given", "times"]))
