"""Promote a program to champion if it beats the current one in a paired test."""

import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dspy

from optimize.data import Dataset
from optimize.evaluation import PairedComparison, compare_programs
from optimize.tracking.registry import Models
from task_delegator.artifact import MANIFEST, find, load, prompt_texts
from task_delegator.errors import InputError


@dataclass(frozen=True, slots=True)
class Promotion:
    """The result of a promotion.

    Attributes:
        version: of the registered model that is champion now.
        promoted: whether the candidate became champion.
        comparison: the paired comparison with the former champion, None if there was none.
    """

    name: str
    version: str | None
    promoted: bool
    comparison: PairedComparison | None


def promote(
    source: str, dataset: Dataset, models: Models, lm: dspy.BaseLM | None, force: bool = False
) -> Promotion:
    """Register a program and make it champion if it beats the present one.

    It does where it names more right agents, by a paired test; or no fewer, where the present one
    assigns nothing at all, as one that was not calibrated for these agents. The former champion
    keeps the alias ``previous``.

    Args:
        source: a program's name or folder, or the id of a run that compiled one.
        dataset: its validation split decides; its registry is served.
        lm: the LM that either program may ask.
        force: promote regardless of the comparison.

    Raises:
        InputError: there is no such program or run, or no validation split.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = _folder(source, models, Path(scratch))
        opened = partial(
            load,
            registry=dataset.registry,
            embedder=os.environ.get("TASK_DELEGATOR_EMBEDDER") or None,
            reranker=os.environ.get("TASK_DELEGATOR_RERANKER") or None,
        )
        candidate = opened(folder)
        champion, comparison = models.version("champion"), None
        if champion is not None:
            champion_program = opened(models.download(champion))
            pair = [("candidate", candidate), (f"champion {champion}", champion_program)]
            comparison = compare_programs(pair, dataset, "validation", lm=lm)
            if not force and not _is_better(comparison):
                return Promotion(models.name, champion, False, comparison)
        version = models.register(folder, dataset.registry, prompt_texts(candidate), source)
        models.set_champion(version, champion)
        return Promotion(models.name, version, True, comparison)


def _is_better(comparison: PairedComparison) -> bool:
    """Tell whether the first of two programs, the candidate, shall replace the champion."""
    if comparison.winner is not None:
        return comparison.winner == comparison.first.program
    return comparison.second.assigned == 0 < comparison.first.assigned


def roll_back(models: Models) -> Promotion:
    """Make the previous champion champion again, and the champion previous.

    Raises:
        InputError: there is no previous one.
    """
    champion, previous = models.version("champion"), models.version("previous")
    if previous is None:
        raise InputError(f"{models.name}: no version has the alias 'previous' to roll back to")
    models.set_champion(previous, champion)
    return Promotion(models.name, previous, True, None)


def _folder(source: str, models: Models, scratch: Path) -> Path:
    """Return the folder of a program, or of what a run compiled."""
    downloaded = models.download_from_run(source, scratch / "run")
    if downloaded is None:
        return find(source)
    if not (downloaded / MANIFEST).is_file():
        raise InputError(f"run {source}: holds no compiled program; name a run of compile")
    return downloaded
