"""Figures and tables of MLflow runs: search, Pareto front, reliability, confused pairs."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from optimize.evaluation import Outcome, grade_outcomes, reliability
from optimize.joint import JointTrial
from optimize.search import Trial

mpl.use("Agg")
import matplotlib.pyplot as plt

_MOST_CONFUSED = 25


def search_plot(trials: Sequence[Trial]) -> Any:
    """Return a figure: every trial's top-1 and recall on validation, and the best so far."""
    numbers = [trial.number for trial in trials]
    top1 = [trial.top1 for trial in trials]
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(numbers, [trial.recall_at_k for trial in trials], ".", label="recall@k")
    axes.plot(numbers, top1, ".", label="top-1")
    axes.step(numbers, np.maximum.accumulate(top1), where="post", label="best top-1 so far")
    axes.set(xlabel="trial", ylabel="share of the validation requests", title="Search")
    axes.legend()
    plt.close(figure)
    return figure


def pareto_plot(points: Sequence[JointTrial], front: Sequence[JointTrial]) -> Any:
    """Return a figure: top-1 on validation against LM tokens per task, the front as a line."""
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot([p.tokens for p in points], [p.top1 for p in points], ".", label="trials")
    axes.step(
        [p.tokens for p in front], [p.top1 for p in front], where="post", label="Pareto front"
    )
    axes.set(xlabel="LM tokens per task", ylabel="top-1 on validation", title="Joint search")
    axes.legend()
    plt.close(figure)
    return figure


def pareto_table(front: Sequence[JointTrial]) -> pd.DataFrame:
    """Return the Pareto front as a table, cheapest first."""
    rows = [(p.number, p.top1, p.tokens, p.prompt, p.demos, p.knobs.lm.gate) for p in front]
    columns = ["trial", "top1", "tokens_per_task", "prompt", "demos", "gate"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def reliability_plot(outcomes: Sequence[Outcome], name: str) -> Any:
    """Return a figure: stated confidence against the accuracy."""
    confidences = np.array([outcome.confidence for outcome in outcomes])
    correct = grade_outcomes(outcomes)
    parts = reliability(confidences, correct)
    stated, observed = [part[0] for part in parts], [part[1] for part in parts]
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="gray", linewidth=1)
    axes.plot(stated, observed, marker="o")
    axes.set(
        xlabel=f"stated confidence (bins of equal mass, n = {len(correct)})",
        ylabel="accuracy",
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
        if not outcome.correct and outcome.ranking
    )
    rows = [(*pair, count) for pair, count in wrong.most_common(_MOST_CONFUSED)]
    return pd.DataFrame(rows, columns=pd.Index(["expected", "given", "times"]))
