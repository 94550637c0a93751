"""Figures of MLflow runs: search, trials, Pareto front, reliability."""

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


def parallel_plot(trials: pd.DataFrame, objective: str) -> Any:
    """Return a figure: a line per trial across what was varied, the better the darker.

    Args:
        trials: a row each; columns that hold one value, or no numbers, are left out.
        objective: the column that colors the lines; it is the last axis.
    """
    numbers = trials.select_dtypes("number").drop(columns=["trial", objective])
    numbers = numbers.drop(columns=["recall_at_k", "log_likelihood"], errors="ignore")
    varied = [str(name) for name in numbers.columns if len(set(numbers[name].dropna())) > 1]
    columns = [*varied, objective]
    values = trials[columns].to_numpy(dtype=float)
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    scaled = np.nan_to_num((values - low) / np.where(high > low, high - low, 1.0))
    figure, axes = plt.subplots(figsize=(max(7, 0.8 * len(columns)), 5))
    for row in scaled[np.argsort(scaled[:, -1], kind="stable")]:
        axes.plot(row, color=mpl.colormaps["viridis_r"](row[-1]), linewidth=0.8)
    limits = zip(columns, low, high, strict=True)
    shown = [(name.rpartition(".")[2], least, most) for name, least, most in limits]
    ticks = [f"{name}\n{least:.3g} to {most:.3g}" for name, least, most in shown]
    axes.set_xticks(range(len(columns)), ticks, rotation=45, ha="right", fontsize=8)
    axes.grid(axis="x")
    axes.set(yticks=[], title=f"Trials, darker: higher {objective}")
    figure.tight_layout()
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
