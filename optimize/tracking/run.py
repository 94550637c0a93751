"""Run: log params, metrics, plots and artifacts of a command to MLflow.

A run holds params, dataset inputs with digests, metrics, the compiled program, plots, tables and
a few traces. No LM key or header goes into it. Of the requests it holds those that the compiled
program or a candidate for it carries (demos, learned samples); traces hold lengths instead.

What is tracked is a record, not the work: a store that fails once a run has started is warned of
once, and the work goes on without it.
"""

import functools
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from optimize._compat import local_source
from optimize.data import SPLITS, Dataset
from optimize.evaluation import Outcome
from optimize.joint import JointTrial
from optimize.prompts import PromptCandidate
from optimize.search import Trial
from optimize.tracking.plots import (
    confused_pairs,
    pareto_plot,
    pareto_table,
    reliability_plot,
    search_plot,
)
from optimize.tracking.store import STORE_ERRORS, connect, describe_cause, translate_store_errors
from task_delegator.text import without_user
from task_delegator.tracing import Span
from task_delegator.tracing.mlflow_store import write_spans

_SENTENCES = ("task", "reason")  # of a result's rows, not to be in the name of a metric
_SIZES = ("agents", "asked")  # numbers that identify a row
_MOST_RUNS = 50_000  # that MLflow returns at once
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
    """One tracked compilation; children are its search trials and its prompt's candidates.

    Attributes:
        store_failed: whether the store failed; nothing is tracked from then on.
    """

    def __init__(self, run_id: str, experiment_id: str) -> None:
        self.id = run_id
        self.store_failed = False
        self._experiment = experiment_id
        self._client = MlflowClient()

    @_continue_on_store_error
    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log the options of the compilation."""
        mlflow.log_params({key: without_user(str(value))[:6000] for key, value in values.items()})

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
        mlflow.log_dict(dataset.digests(), f"dataset_sha256/{dataset.path.name}.json")

    @_continue_on_store_error
    def log_trials(self, trials: Sequence[Trial]) -> None:
        """Log one child run per search trial, and the best top-1 over the trials.

        Trials that were logged before a compilation was resumed stay as they are.
        """
        known, best = self._children("trial"), 0.0
        for trial in trials:
            best = max(best, trial.top1)
            child = self._child(known, "trial", trial.number, {"stage": "search"})
            if child is None:
                continue
            self._client.log_batch(
                child,
                metrics=[Metric(name, v, 0, 0) for name, v in trial.metrics().items()],
                params=[Param(name, str(v)) for name, v in trial.knobs.flat().items()],
            )
            mlflow.log_metrics(
                {"search_top1": trial.top1, "search_best_top1": best}, step=trial.number
            )
            self._client.set_terminated(child)
        mlflow.log_figure(search_plot(trials), "plots/search.png")

    @_continue_on_store_error
    def log_joint_trials(self, points: Sequence[JointTrial], front: Sequence[JointTrial]) -> None:
        """Log one child run per trial of a joint search, and the Pareto front."""
        known = self._children("trial")
        for point in points:
            child = self._child(known, "trial", point.number, {"stage": "joint"})
            if child is None:
                continue
            params = point.knobs.flat() | {"prompt": point.prompt, "demos": point.demos}
            self._client.log_batch(
                child,
                metrics=[
                    Metric("top1", point.top1, 0, 0),
                    Metric("tokens_per_task", point.tokens, 0, 0),
                ],
                params=[Param(name, str(v)) for name, v in params.items()],
            )
            self._client.set_terminated(child)
        mlflow.log_figure(pareto_plot(points, front), "plots/pareto.png")
        mlflow.log_table(pareto_table(front), "tables/pareto.json")

    @_continue_on_store_error
    def log_candidates(self, candidates: Sequence[PromptCandidate], optimizer: str) -> None:
        """Log one child run per prompt that an optimizer tried; skip those already logged."""
        known = self._children("candidate")
        for number, candidate in enumerate(candidates):
            tags = {"stage": "candidate", "optimizer": optimizer}
            child = self._child(known, "candidate", number, tags)
            if child is None:
                continue
            score = [] if candidate.score is None else [Metric("score", candidate.score, 0, 0)]
            self._client.log_batch(
                child, metrics=score, params=[Param("demos", str(len(candidate.demos)))]
            )
            self._client.log_text(child, candidate.instructions, "prompt/instructions.txt")
            self._client.log_dict(child, {"demos": list(candidate.demos)}, "prompt/demos.json")
            self._client.set_terminated(child)

    def _children(self, kind: str) -> dict[int, tuple[str, bool]]:
        """Return the child runs of a kind by number: their id, and whether they are complete."""
        found = self._client.search_runs(
            [self._experiment],
            f"tags.`mlflow.parentRunId` = '{self.id}' and tags.kind = '{kind}'",
            max_results=_MOST_RUNS,
        )
        return {
            int(child.data.tags["number"]): (child.info.run_id, child.info.status == "FINISHED")
            for child in found
        }

    def _child(
        self, known: Mapping[int, tuple[str, bool]], kind: str, number: int, tags: dict[str, str]
    ) -> str | None:
        """Return the id of the child run to (re)write, or None if it is complete."""
        if number in known:
            run_id, complete = known[number]
            return None if complete else run_id
        names = {"mlflow.parentRunId": self.id, "mlflow.runName": f"{kind} {number}"}
        tags = {**names, "kind": kind, "number": str(number), **tags}
        return self._client.create_run(self._experiment, tags=tags).info.run_id

    @_continue_on_store_error
    def log_outcomes(self, outcomes: Sequence[Outcome], name: str) -> None:
        """Log a reliability plot and the most confused pairs of an evaluation."""
        mlflow.log_figure(reliability_plot(outcomes, name), f"plots/reliability_{name}.png")
        mlflow.log_table(confused_pairs(outcomes), f"tables/confused_pairs_{name}.json")

    @_continue_on_store_error
    def log_experiment(
        self, result: Path, plots: Sequence[Path], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Log an experiment: its result file, pictures and rows, and every rate as a metric."""
        mlflow.log_artifact(str(result), "results")
        mlflow.log_table(pd.DataFrame(list(rows)), "tables/rows.json")
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
    def log_prompts(self, before: Any, after: Any) -> None:
        """Log a predictor's instructions and demos as texts, before and after optimizing."""
        for when, predictor in (("before", before), ("after", after)):
            mlflow.log_text(predictor.signature.instructions, f"prompts/{when}_instructions.txt")
            demos = [dict(demo) for demo in predictor.demos]
            mlflow.log_dict({"demos": demos}, f"prompts/{when}_demos.json")

    @_continue_on_store_error
    def log_traces(self, spans: Sequence[Span]) -> None:
        """Log spans of delegations as traces of this run; parents must come before children."""
        self._client.get_run(self.id)  # a trace that cannot be written is no error to MLflow
        write_spans(spans)

    @_continue_on_store_error
    def log_program(self, folder: Path) -> None:
        """Log the compiled program."""
        mlflow.log_artifacts(str(folder), "program")

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
    experiment = connect()
    with translate_store_errors():
        active = mlflow.start_run(_active_run_id(resume_id), run_name=name, tags=dict(tags))
    tracked, status = Run(active.info.run_id, experiment), "FAILED"
    try:
        yield tracked
        status = "FINISHED"
    finally:
        tracked._end(status)
        if tracked.store_failed:  # what is missing in it shows, if the store is back
            with suppress(*STORE_ERRORS):
                mlflow.end_run("FAILED")


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
