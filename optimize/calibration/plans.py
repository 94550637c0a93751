"""Fit when a program splits a task, and evaluate its plans."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dspy
import numpy as np
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from optimize.calibration.logistic import Logistic, held_out_probabilities
from optimize.data import Dataset, Request
from optimize.evaluation import metrics, plan_measured
from task_delegator.artifact import PROGRAM, SHIPPED
from task_delegator.delegation import Plan
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues, SeveralWeights
from task_delegator.stages import MAX_PARTS, PartScore, best_split, split_features
from task_delegator.system import read_json

_log = logging.getLogger(__name__)
MOST_IN_VAIN = 0.05  # of the tasks for one agent: half of what is promised, n is small
_MOST_REVIEWED = 0.02  # of the same: those that may be kept from the agent that they are for
_FOLDS = 5
_FEWEST = 10  # tasks for several agents, in train and in validation, to fit on
_FITTED_ON = ("train", "validation")
_SINGLE = 300  # tasks for one agent to look at: each takes up to 21 looks


@dataclass(frozen=True, slots=True)
class PlanReport:
    """How plans did on tasks for several agents and on tasks for one.

    Attributes:
        n, n_single: tasks for several agents, and for one.
        precision, recall, f1: of the set of agents, mean over the tasks for several.
        f1_ci95: bootstrap interval of f1.
        complete_at_5: share of tasks whose agents are all among the first five that the
            steps name, interleaved by rank.
        exact: share of tasks whose set of agents is exactly right.
        split: share of the tasks for several agents that were split.
        split_in_vain, split_in_vain_ci95: share of the tasks for one agent that were split.
        lm_calls_per_task, tokens_per_task, milliseconds: mean cost of a plan, over all tasks.
        f1s: per task for several agents, for paired comparisons.
    """

    n: int
    n_single: int
    precision: float
    recall: float
    f1: float
    f1_ci95: tuple[float, float]
    complete_at_5: float
    exact: float
    split: float
    split_in_vain: float
    split_in_vain_ci95: tuple[float, float]
    lm_calls_per_task: float
    tokens_per_task: float
    milliseconds: float
    f1s: tuple[float, ...]


def fit_split(program: Delegator, dataset: Dataset) -> None:
    """Set the knobs of ``split`` on train and validation; without an LM.

    The thresholds are chosen on out-of-fold probabilities: those of the tasks that the
    weights were fitted on would be too good. Where a dataset has too few tasks for several
    agents, the knobs stay as they are; where none were fitted, those of the program that ships
    serve.
    """
    if (few := few_for_several(dataset)) is not None:
        _split_as_shipped(program, few)
        return
    parts = [_examples(program, dataset, split) for split in _FITTED_ON]
    table, several = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    fewest = int(min(several.sum(), (~several).sum()))
    if fewest < 2:
        _split_as_shipped(program, "hardly a task of multi.json, or for one agent, can be cut")
        return
    model = Logistic.fit(table, several, balanced=True)
    program.knobs.set(model.knobs("split.several", SeveralWeights.features()))
    folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=0)
    held_out = held_out_probabilities(table, several, folds.split(table, several), balanced=True)
    single = np.sort(held_out[~several])[::-1]
    # Tasks that cannot be cut count as tasks that are not.
    looked_at = sum(len(dataset.splits[s][:_SINGLE]) for s in _FITTED_ON)
    program.knobs.set(
        {
            "split.threshold": _just_above(single, int(MOST_IN_VAIN * looked_at)),
            "split.review_threshold": _just_above(single, int(_MOST_REVIEWED * looked_at)),
        }
    )


def _just_above(probabilities: np.ndarray, allowed: int) -> float:
    """Return the least threshold that so many of some probabilities, largest first, reach."""
    return float(np.nextafter(probabilities[allowed], 2)) if allowed < len(probabilities) else 0.0


def few_for_several(dataset: Dataset) -> str | None:
    """Return what is missing of tasks for several agents to fit on, None where they suffice."""
    held = {split: len(dataset.multi[split]) for split in _FITTED_ON}
    if min(held.values()) >= _FEWEST:
        return None
    shown = " and ".join(f"{number} of split {split!r}" for split, number in held.items())
    return f"multi.json has {shown}, and {_FEWEST} of each are needed"


def _split_as_shipped(program: Delegator, because: str) -> None:
    values = program.knobs.values
    if values.split.threshold is not None:
        return
    shipped = KnobValues.read(read_json(SHIPPED / "default" / PROGRAM)["knobs"])
    program.knobs.values = values.model_copy(update={"split": shipped.split})
    _log.warning("plans: when to split a task is that of the program that ships: %s", because)


def evaluate_plans(
    program: Delegator, several: Sequence[Request], single: Sequence[Request]
) -> PlanReport:
    """Return how plans do on tasks for several agents and on tasks for one.

    Raises:
        LMError: the LM was needed and cannot be reached, refuses or takes too long.
    """
    plans = [
        plan_measured(program, r.text) for r in tqdm(several, desc="plans", delay=3, leave=False)
    ]
    whole = [
        plan_measured(program, r.text) for r in tqdm(single, desc="single", delay=3, leave=False)
    ]
    sets = [
        set_scores(plan.agents, request.acceptable)
        for plan, request in zip(plans, several, strict=True)
    ]
    f1s = np.array([scores[2] for scores in sets])
    vain = sum(len(plan.steps) > 1 for plan in whole)
    usages = [plan.usage for plan in (*plans, *whole)]
    return PlanReport(
        n=len(plans),
        n_single=len(whole),
        precision=float(np.mean([scores[0] for scores in sets])),
        recall=float(np.mean([scores[1] for scores in sets])),
        f1=float(f1s.mean()),
        f1_ci95=metrics.bootstrap_mean(f1s),
        complete_at_5=float(
            np.mean(
                [
                    set(request.acceptable) <= set(interleaved(plan)[:5])
                    for plan, request in zip(plans, several, strict=True)
                ]
            )
        ),
        exact=float(np.mean([scores[2] == 1.0 for scores in sets])),
        split=float(np.mean([len(plan.steps) > 1 for plan in plans])),
        split_in_vain=vain / len(whole) if whole else 0.0,
        split_in_vain_ci95=metrics.wilson(vain, len(whole)),
        lm_calls_per_task=float(np.mean([usage.lm_calls for usage in usages])),
        tokens_per_task=float(np.mean([usage.tokens for usage in usages])),
        milliseconds=float(1000 * np.mean([usage.seconds for usage in usages])),
        f1s=tuple(float(f1) for f1 in f1s),
    )


def set_scores(given: Sequence[str], expected: Sequence[str]) -> tuple[float, float, float]:
    """Return precision, recall and F1 of a set of agents."""
    hits = len(set(given) & set(expected))
    precision = hits / len(set(given)) if given else 0.0
    recall = hits / len(set(expected))
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return precision, recall, f1


def interleaved(plan: Plan) -> list[str]:
    """Return the steps' agents by rank: every first place, then every second, and so on."""
    rankings = [step.delegation.evidence.ranking for step in plan.steps]
    longest = max(map(len, rankings), default=0)
    names = (r[place] for place in range(longest) for r in rankings if place < len(r))
    return list(dict.fromkeys(names))


def _examples(program: Delegator, dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of the tasks that can be cut, and whether they need several agents."""
    rows: list[dict[str, Any]] = []
    several = []
    tasks = [(request, True) for request in dataset.multi[split]]
    tasks += [(request, False) for request in dataset.splits[split][:_SINGLE]]
    for request, needs in tqdm(tasks, desc=f"cut {split} tasks", delay=3, leave=False):
        looks: dict[str, PartScore] = {}

        def look(text: str, looks: dict[str, PartScore] = looks) -> PartScore:
            if text not in looks:
                looks[text] = program.look(text)
            return looks[text]

        with dspy.context(lm=None):
            cut = {n: best_split(request.text, n, look) for n in range(1, MAX_PARTS + 1)}
        features = split_features(request.text, {n: s for n, s in cut.items() if s})
        if features is not None:
            rows.append(features)
            several.append(needs)
    names = SeveralWeights.features()
    table = np.array([[row[name] for name in names] for row in rows], dtype=float)
    return table.reshape(-1, len(names)), np.array(several, dtype=bool)
