"""Run: log params, metrics, plots and artifacts of a command to MLflow.

A run holds params, dataset inputs with digests, metrics, the compiled program, plots, tables and
a few traces, and is linked to the agent version that it makes and to the prompts of that. No LM
key or header goes into it. Of the requests it holds those that the compiled program or a
candidate for it carries (demos, learned samples); traces hold lengths instead.

What is tracked is a record, not the work: a store that fails once a run has started is warned of
once, and the work goes on without it.
"""

import functools
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import dspy
import mlflow
import numpy as np
import pandas as pd
from mlflow.data.pandas_dataset import PandasDataset, from_pandas
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from optimize._compat import local_source, without_active_model
from optimize.data import SPLITS, Dataset
from optimize.evaluation import Outcome, Report
from optimize.joint import JointTrial
from optimize.prompts import PromptCandidate
from optimize.search import Trial
from optimize.tracking import judges, models
from optimize.tracking.children import Children
from optimize.tracking.plots import parallel_plot, pareto_plot, reliability_plot, search_plot
from optimize.tracking.prompts import MODEL, WRITTEN, Prompts
from optimize.tracking.store import STORE_ERRORS, connect, describe_cause, translate_store_errors
from optimize.tracking.tables import (
    HEADLINES,
    confused_pairs,
    headline,
    joint_table,
    pareto_table,
    reports_table,
    trials_table,
)
from optimize.tracking.view import view_tag
from task_delegator.text import without_user
from task_delegator.tracing import Span
from task_delegator.tracing.mlflow_store import write_spans

_SENTENCES = ("task", "reason")  # of a result's rows, not to be in the name of a metric
_SIZES = ("agents", "asked")  # numbers that identify a row
_MOST_METRICS = 1000  # that MLflow takes at once
_BEST = "search_best_top1"
_CONFIG = "config.json"
_log = logging.getLogger(__name__)
P = ParamSpec("P")


def _continue_on_store_error(
    method: "Callable[Concatenate[Run, P], None]",
) -> "Callable[Concatenate[Run, P], None]":
    """Let the work go on where the store fails: warn once, and track nothing more."""

    @functools.wraps(method)
    def tracked(self: "Run", /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.store_failed:
            return
        try:
            method(self, *args, **kwargs)
        except STORE_ERRORS as error:
            self.store_failed = True
            _log.warning(
                "MLflow run %s: tracking failed (%s); going on without it",
                self.id,
                describe_cause(error),
            )

    return tracked


class Run:
    """One tracked compilation; children are its prompt's candidates, or a joint search's front.

    Attributes:
        model_id: of the agent version that it makes; None where it makes none.
        store_failed: whether the store failed; nothing is tracked from then on.
    """

    def __init__(self, run_id: str, experiment_id: str) -> None:
        self.id = run_id
        self.model_id: str | None = None
        self.store_failed = False
        self._experiment = experiment_id
        self._client = MlflowClient()
        self._inputs: dict[str, PandasDataset] = {}

    @_continue_on_store_error
    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log the options of the compilation; what is None shows as none."""
        mlflow.log_params(_as_params(values))

    @_continue_on_store_error
    def log_config(self, values: Mapping[str, Any]) -> None:
        """Log every setting as a file; params are those by which runs are told apart."""
        mlflow.log_dict({key: without_user(str(value)) for key, value in values.items()}, _CONFIG)

    @_continue_on_store_error
    def begin_model(self, name: str, params: Mapping[str, Any]) -> None:
        """Begin the agent version that the run makes; traces and reports are linked to it.

        It is not MLflow's active model meanwhile: each step of the search would be its metric.
        """
        self.model_id = models.begin(name, self.id, self._experiment, _as_params(params))

    @_continue_on_store_error
    def register_judge(self, lm: Any) -> None:
        """Register the experiment's judge where it has none; nothing runs it.

        Args:
            lm: its model, where a provider has it; else MLflow's default.
        """
        judges.register(self._experiment, judges.model_of(lm))

    @_continue_on_store_error
    def log_metrics(
        self, values: Mapping[str, float], prefix: str = "", step: int | None = None
    ) -> None:
        """Log numbers, optionally at a step."""
        mlflow.log_metrics({prefix + key: value for key, value in values.items()}, step=step)

    @_continue_on_store_error
    def log_dataset(self, dataset: Dataset) -> None:
        """Log each split as an input, by digest and source; texts stay where they are."""
        for split, requests in dataset.splits.items():
            if not requests:
                continue
            labels = pd.DataFrame({"expected_agent": [r.expected for r in requests]})
            source = local_source(dataset.path.resolve())
            digest = dataset.sha256(SPLITS[split])[:12]
            name = f"{dataset.path.name}:{split}"
            entry = from_pandas(labels, source=source, name=name, digest=digest)
            mlflow.log_input(entry, context=split)
            self._inputs[split] = entry
        mlflow.log_dict(dataset.digests(), f"dataset_sha256/{dataset.path.name}.json")

    @_continue_on_store_error
    def log_reports(self, reports: Mapping[str, Report]) -> None:
        """Log what tells programs apart as metrics, by dataset, and all numbers as a table.

        Args:
            reports: by name; a name begins with that of its split.
        """
        for name, report in reports.items():
            numbers = headline(report, HEADLINES.get(name, HEADLINES["test"]))
            mlflow.log_metrics(
                {f"{name}_{key}": value for key, value in numbers.items()},
                model_id=self.model_id,
                dataset=self._inputs.get(report.split),
            )
        self._log_table(reports_table(reports), "tables/reports.json")

    @_continue_on_store_error
    def log_trials(self, trials: Sequence[Trial]) -> None:
        """Log the trials of a search: steps of the best top-1, a table and figures.

        Steps that were logged before a compilation was resumed stay as they are.
        """
        best = np.maximum.accumulate([trial.top1 for trial in trials])
        logged = {m.step for m in self._client.get_metric_history(self.id, _BEST)}
        now = int(time.time() * 1000)
        steps = [
            Metric(_BEST, float(top), now, trial.number)
            for trial, top in zip(trials, best, strict=True)
            if trial.number not in logged
        ]
        for first in range(0, len(steps), _MOST_METRICS):
            self._client.log_batch(self.id, metrics=steps[first : first + _MOST_METRICS])
        table = trials_table(trials)
        self._log_table(table, "tables/trials.json")
        mlflow.log_figure(search_plot(trials), "plots/search.png")
        mlflow.log_figure(parallel_plot(table, "top1"), "plots/trials.png")

    @_continue_on_store_error
    def log_joint_trials(self, points: Sequence[JointTrial], front: Sequence[JointTrial]) -> None:
        """Log a joint search: a table and figures, and a child run per trial on the front."""
        children = Children(self._experiment, self.id, "trial")
        for point in front:
            child = children.open(point.number, {"stage": "joint"})
            if child is None:
                continue
            params = point.knobs.flat() | {"prompt": point.prompt, "demos": point.demos}
            self._client.log_batch(
                child,
                metrics=[
                    Metric("top1", point.top1, 0, 0),
                    Metric("tokens_per_task", point.tokens, 0, 0),
                ],
                params=[Param(name, value) for name, value in _as_params(params).items()],
            )
            self._client.set_terminated(child)
        table = joint_table(points)
        self._log_table(table, "tables/trials.json")
        mlflow.log_figure(parallel_plot(table, "top1"), "plots/trials.png")
        mlflow.log_figure(pareto_plot(points, front), "plots/pareto.png")
        self._log_table(pareto_table(front), "tables/pareto.json")

    def _log_table(self, table: pd.DataFrame, path: str) -> None:
        """Log a table once: MLflow appends to one that is there, as after a resumption."""
        folder = path.rpartition("/")[0]
        if path not in {file.path for file in self._client.list_artifacts(self.id, folder)}:
            mlflow.log_table(table, path)

    @_continue_on_store_error
    def log_candidates(self, candidates: Sequence[PromptCandidate], optimizer: str) -> None:
        """Log one child run per prompt that an optimizer tried; skip those already logged."""
        children = Children(self._experiment, self.id, "candidate")
        for number, candidate in enumerate(candidates):
            tags = {"stage": "candidate", "optimizer": optimizer}
            child = children.open(number, tags)
            if child is None:
                continue
            score = [] if candidate.score is None else [Metric("score", candidate.score, 0, 0)]
            self._client.log_batch(
                child, metrics=score, params=[Param("demos", str(len(candidate.demos)))]
            )
            self._client.log_text(child, candidate.instructions, "prompt/instructions.txt")
            self._client.log_dict(child, {"demos": list(candidate.demos)}, "prompt/demos.json")
            self._client.set_terminated(child)

    @_continue_on_store_error
    def log_outcomes(self, outcomes: Sequence[Outcome], name: str) -> None:
        """Log a reliability plot and the most confused pairs of an evaluation."""
        mlflow.log_figure(reliability_plot(outcomes, name), f"plots/reliability_{name}.png")
        self._log_table(confused_pairs(outcomes), f"tables/confused_pairs_{name}.json")

    @_continue_on_store_error
    def log_experiment(
        self, result: Path, plots: Sequence[Path], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Log an experiment: its result file, pictures and rows, and every rate as a metric."""
        mlflow.log_artifact(str(result), "results")
        self._log_table(pd.DataFrame(list(rows)), "tables/rows.json")
        for plot in plots:
            mlflow.log_artifact(str(plot), "plots")
        for row in rows:
            labels = {k: v for k, v in row.items() if k not in _SENTENCES}
            label = " ".join(
                str(v) for key, v in labels.items() if isinstance(v, str) or key in _SIZES
            )
            name = re.sub(r"[^\w /.:-]+", "", label)[:180]
            numbers = {k: v for k, v in row.items() if isinstance(v, float | int)}
            self.log_metrics(numbers, f"{name}/")

    @_continue_on_store_error
    def log_prompts(
        self,
        before: Mapping[str, str],
        after: Mapping[str, str],
        message: str,
        tags: Mapping[str, str],
    ) -> None:
        """Register the prompts of the program and link them to the run and its agent version.

        Args:
            before: by predictor, before the compilation; what it changed is a version after that.
            after: the same, of the compiled program.
            message: of the versions that hold what was changed.
            tags: of these versions.
        """
        prompts = Prompts(MODEL)
        versions = prompts.register(before, WRITTEN, {})
        changed = {name: text for name, text in after.items() if text != before.get(name)}
        versions |= prompts.register(changed, message, tags)
        if self.model_id is not None:
            prompts.link(versions, self.model_id, self.id)

    @_continue_on_store_error
    def log_traces(self, spans: Sequence[Span]) -> None:
        """Log spans of delegations as traces of this run; parents must come before children."""
        self._client.get_run(self.id)  # a trace that cannot be written is no error to MLflow
        with self._active_model():
            write_spans(spans)

    def _active_model(self) -> AbstractContextManager[Any]:
        """Link the traces of a block to the agent version."""
        if self.model_id is None:
            return nullcontext()
        return mlflow.set_active_model(model_id=self.model_id)

    @_continue_on_store_error
    def log_program(self, folder: Path) -> None:
        """Log the compiled program, and make its agent version ready with it."""
        mlflow.log_artifacts(str(folder), "program")
        if self.model_id is not None:
            models.complete(self.model_id, folder, self.id, None)

    @_continue_on_store_error
    def log_files(self, folder: Path, names: Sequence[str], where: str) -> None:
        """Log some files of a folder."""
        for name in names:
            mlflow.log_artifact(str(folder / name), where)

    @_continue_on_store_error
    def set_tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        mlflow.set_tag(name, value)

    @_continue_on_store_error
    def set_note(self, text: str) -> None:
        """Put a markdown note on the run's page."""
        mlflow.set_tag("mlflow.note.content", text)

    @_continue_on_store_error
    def _end(self, status: str) -> None:
        if self.model_id is not None and status != "FINISHED":
            models.fail(self.model_id)
        mlflow.end_run(status)


@contextmanager
def run(name: str, tags: Mapping[str, str], resume_id: str | None = None) -> Iterator[Run]:
    """Track a block as one run; the store is ``MLFLOW_TRACKING_URI`` or ``mlflow.db``.

    Args:
        name: of the run.
        tags: of the run.
        resume_id: id of an interrupted run to continue; a new run is made if it was deleted.

    Raises:
        InputError: the store cannot be used. Once the run has started its failure is no error.
    """
    experiment = connect(view_tag())
    with translate_store_errors():
        active = mlflow.start_run(_active_run_id(resume_id), run_name=name, tags=dict(tags))
    tracked, status = Run(active.info.run_id, experiment), "FAILED"
    try:
        with dspy.context(callbacks=_without_autolog()), without_active_model():
            yield tracked
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracked._end(status)
        if tracked.store_failed:  # what is missing in it shows, if the store is back
            with suppress(*STORE_ERRORS):
                mlflow.end_run("FAILED")


def _as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as MLflow's params, which are texts: without passwords, and none for None."""
    return {
        key: "none" if value is None else without_user(str(value))[:6000]
        for key, value in values.items()
    }


def _without_autolog() -> list[Any]:
    """Return DSPy's callbacks but for those of a user's ``mlflow.dspy.autolog()``.

    They would trace every delegation of the work a second time, with its text.
    """
    held = dspy.settings.get("callbacks") or []
    return [one for one in held if not type(one).__module__.startswith("mlflow.")]


def _active_run_id(run_id: str | None) -> str | None:
    """Return the id of a run, None if it was deleted."""
    if run_id is None:
        return None
    try:
        stage = MlflowClient().get_run(run_id).info.lifecycle_stage
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run_id if stage == "active" else None
