"""Evaluations as MLflow's evaluation runs: programs side by side, request by request.

What is written was computed before: the answers are not made again by MLflow's threads. The
scores of a request are written with its trace in one transaction; MLflow's harness would write
each in one of its own, which takes ten times as long. Intervals and paired tests are ours, and
metrics of the run.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import AssessmentSource
from mlflow.genai import evaluate as run_evaluation
from mlflow.tracing.constant import AssessmentMetadataKey

from optimize._compat import without_active_model
from optimize.data import Dataset
from optimize.evaluation import Evaluated, PairedComparison
from optimize.tracking import judges
from optimize.tracking.datasets import log_split
from optimize.tracking.models import PROGRAM_SHA256, holding, program_digest
from optimize.tracking.rows import SEVERAL, Row, names_of, rows_of
from optimize.tracking.scores import answered, expected, scores
from optimize.tracking.store import STORE_ERRORS, connect, describe_cause
from optimize.tracking.tables import flattened, shortened
from task_delegator.delegation import Delegation
from task_delegator.text import without_user

MOST_TRACKED = 1_000  # requests of a run; they take fifty seconds of one processor
_SETTINGS = {
    # Each needs two connections at once; MLflow's own ten wait for each other in a pool of fifteen.
    "MLFLOW_GENAI_EVAL_MAX_WORKERS": "2",
    # A call on trial, without a trace, would be warned of.
    "MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION": "true",
}
VERSUS = "versus"  # metrics of a run against the other
SAME = "same answer"
COMPARED = "compared"  # score beside another program; MLflow shows the first three by name
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What an evaluation run shows.

    Attributes:
        name: of the program.
        evaluated: its answers.
        versus: what an answer is beside the other program's, by the request's id.
        compared: how it did against the other program; empty where there is none.
        digest: of the program, whatever its path; None where it lies nowhere.
        model_id: of the agent version that holds the program; None where there is none.
    """

    name: str
    evaluated: Evaluated
    versus: Mapping[str, str]
    compared: Mapping[str, float]
    digest: str | None = None
    model_id: str | None = None


def track_evaluations(
    evaluations: Sequence[tuple[str, Evaluated]],
    comparison: PairedComparison | None,
    dataset: Dataset,
    split: str,
    *,
    texts: bool = False,
) -> list[str]:
    """Write evaluations as evaluation runs; return the ids of the runs.

    A store that fails once it is open costs the record, with a warning, and no result.

    Args:
        evaluations: names of one or two programs, and their answers.
        comparison: of two programs.
        dataset, split: that were evaluated.
        texts: keep the texts of requests, and names of agents that need a permission.

    Raises:
        StoreError: the store cannot be used.
    """
    experiment, runs = connect(), []
    with _going_on():
        judges.register(experiment, None)
    for place, (name, evaluated) in enumerate(evaluations):
        others = [other for i, (_, other) in enumerate(evaluations) if i != place]
        versus = _versus(evaluated, others[0], dataset, split) if others else {}
        with _going_on():
            compared = _compared(comparison, first=place == 0) if comparison else {}
            digest = program_digest(name)
            model = None if digest is None else holding(digest, experiment)
            run = TrackedRun(name, evaluated, versus, compared, digest, model)
            with without_active_model():
                runs.append(_track(run, dataset, split, experiment, texts))
    return runs


@contextmanager
def _going_on() -> Iterator[None]:
    try:
        yield
    except STORE_ERRORS as error:
        _log.warning("the evaluation is not tracked whole (%s)", describe_cause(error))


def _track(run: TrackedRun, dataset: Dataset, split: str, experiment: str, texts: bool) -> str:
    delegations = _by_id(run.evaluated, dataset, split)
    rows = [row for row in rows_of(dataset, split) if row.id in delegations]
    kept = sorted(rows, key=lambda row: run.versus.get(row.id) == SAME)[:MOST_TRACKED]
    whole = log_split(dataset, split, experiment, texts=texts)
    log_split(dataset, split, experiment, several=True, texts=texts)
    everything = [row for row in rows_of(dataset, split) if row.kind != SEVERAL]
    managed = whole is not None and len(kept) == len(everything)
    report = run.evaluated.report
    tags = {"kind": "evaluation", "program": run.name, "split": split}
    tags |= {} if run.digest is None else {PROGRAM_SHA256: run.digest}
    # The page shows the first nine characters or so; the param holds all of the program's name.
    name = f"{Path(run.name).name} on {dataset.path.resolve().name}/{split}"
    with mlflow.start_run(run_name=name, tags=tags) as active:
        params = {
            "program": run.name, "data": report.data, "split": split, "seed": report.seed,
            "lm": report.lm or "none", "embedder": report.embedder,
            "reranker": report.reranker or "none", "commit": report.commit,
        }  # fmt: skip
        mlflow.log_params({key: without_user(str(value)) for key, value in params.items()})
        shown = _Shown(active.info.run_id, names_of(dataset, texts), texts, run.versus)
        found = {row.id: (row, delegations[row.id]) for row in kept}
        data: Any = whole if managed else [{"inputs": row.inputs(texts)} for row in kept]
        for variable, value in _SETTINGS.items():
            os.environ.setdefault(variable, value)
        logging.getLogger("mlflow.models.evaluation.utils.trace").setLevel(logging.WARNING)
        with redirect_stdout(StringIO()):  # MLflow says there where to look
            predict = shown.predictor(found)
            run_evaluation(data=data, scorers=[], predict_fn=predict, model_id=run.model_id)
        # The page shows them in this order, and has room for the first.
        measured = shown.means() | dict(run.compared) | flattened(report.to_dict())
        mlflow.log_metrics(shortened(measured), model_id=run.model_id)
        if run.versus:
            table = [shown.line(*found[r.id]) for r in kept if run.versus[r.id] != SAME]
            mlflow.log_table(pd.DataFrame(table), "tables/differing.json")
    return active.info.run_id


class _Shown:
    """Write requests of a run as traces with scores, and remember the scores."""

    def __init__(
        self, run_id: str, names: Mapping[str, str], texts: bool, versus: Mapping[str, str]
    ) -> None:
        self._run_id, self._names, self._texts, self._versus = run_id, names, texts, versus
        self._scores: dict[str, dict[str, Any]] = {}

    def predictor(self, found: Mapping[str, tuple[Row, Delegation]]) -> Any:
        """Return a function that MLflow calls with the inputs of each request."""

        def predict(request: str, digest: str, task: str | None = None) -> dict[str, Any]:
            row, delegation = found[request]
            outputs = answered(delegation, self._names)
            expectations = expected(row.acceptable, self._names)
            with mlflow.start_span("Delegator", span_type="AGENT") as span:
                span.set_inputs(row.inputs(self._texts))
                span.set_outputs(outputs)
                mlflow.update_current_trace(client_request_id=request, tags={"scope": row.kind})
                self._score(span.trace_id, row, outputs, expectations)
            return outputs

        return predict

    def _score(
        self,
        trace_id: str,
        row: Row,
        outputs: Mapping[str, Any],
        expectations: Mapping[str, Any],
    ) -> None:
        found = scores(outputs, expectations)
        self._scores[row.id] = found
        if row.id in self._versus:
            found = {COMPARED: self._versus[row.id], **found}
        known: dict[str, Any] = {
            "trace_id": trace_id,
            "metadata": {AssessmentMetadataKey.SOURCE_RUN_ID: self._run_id},
        }
        for name, value in found.items():
            source = AssessmentSource("CODE", name)
            mlflow.log_feedback(name=name, value=value, source=source, **known)
        for name, value in expectations.items():
            source = AssessmentSource("HUMAN", "label")
            mlflow.log_expectation(name=name, value=value, source=source, **known)

    def line(self, row: Row, delegation: Delegation) -> dict[str, Any]:
        """Return a request as a row of a table."""
        outputs = answered(delegation, self._names)
        return {
            **row.inputs(self._texts),
            "expected": expected(row.acceptable, self._names)["agent"],
            "answer": (outputs["top3"] or [None])[0],
            "decision": outputs["decision"],
            "confidence": outputs["confidence"],
            COMPARED: self._versus[row.id],
        }

    def means(self) -> dict[str, float]:
        """Return the mean of every score that is a number, named as MLflow names it."""
        frame = pd.DataFrame(list(self._scores.values()))
        unscored = ["confidence_bin", "lm_asked", "tokens"]  # no number; or in the report
        numbers = frame.drop(columns=unscored, errors="ignore").astype(float)
        return {f"{name}/mean": float(mean) for name, mean in numbers.mean().items()}


def _by_id(evaluated: Evaluated, dataset: Dataset, split: str) -> dict[str, Delegation]:
    """Return what was answered, by the id of the request."""
    inside = {outcome.request.text: outcome.delegation for outcome in evaluated.outcomes}
    outside = dict(evaluated.outside)
    found = {}
    for row in rows_of(dataset, split):
        answers = inside if row.acceptable else outside
        if row.kind != SEVERAL and row.text in answers:
            found[row.id] = answers[row.text]
    return found


def _versus(ours: Evaluated, theirs: Evaluated, dataset: Dataset, split: str) -> dict[str, str]:
    """Return what each answer is beside another program's, by the id of the request."""
    one, other = (_by_id(evaluated, dataset, split) for evaluated in (ours, theirs))
    return {
        row.id: _beside(one[row.id], other[row.id], row.acceptable)
        for row in rows_of(dataset, split)
        if row.id in one
    }


def _beside(one: Delegation, other: Delegation, acceptable: Sequence[str]) -> str:
    """Compare two answers; sorted by name, those that tell the programs apart come first."""
    if (_first(one), one.decision) == (_first(other), other.decision):
        return SAME
    right, theirs = (
        _first(answer) in acceptable if acceptable else answer.decision == "none"
        for answer in (one, other)
    )
    if right != theirs:
        return "alone right" if right else "alone wrong"
    return "both right" if right else "both wrong"


def _first(delegation: Delegation) -> str | None:
    return next(iter(delegation.evidence.ranking), None)


def _compared(found: PairedComparison, *, first: bool) -> dict[str, float]:
    """Return a paired comparison as metrics of its first program, or of its second."""
    sign, paired = (1 if first else -1), found.comparison
    low, high = sorted(sign * bound for bound in paired.ci95)
    won, lost = (paired.wins, paired.losses)[::sign]
    return {
        f"{VERSUS}_difference": sign * paired.difference,
        f"{VERSUS}_ci95_low": low,
        f"{VERSUS}_ci95_high": high,
        f"{VERSUS}_p": paired.p,
        f"{VERSUS}_wins": won,
        f"{VERSUS}_losses": lost,
    }
