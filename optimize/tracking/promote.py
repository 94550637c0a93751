"""Promote a program to champion if it beats the current one on the same requests."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dspy

from optimize.data import Dataset, warn_of_fitted
from optimize.evaluation import (
    PairedComparison,
    Verdict,
    answer_all,
    answer_outside,
    compare_losses,
    compare_outcomes,
    judge,
)
from optimize.tracking.registry import Models
from task_delegator.artifact import MANIFEST, find, load, prompt_texts, read_manifest
from task_delegator.decision import Target
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError


@dataclass(frozen=True, slots=True)
class Promotion:
    """The result of a promotion.

    Attributes:
        version: of the registered model that is champion now.
        promoted: whether the candidate became champion.
        comparison: the paired comparison with the former champion, None if there was none.
        reason: why it became champion or not, '' where there was no comparison.
    """

    name: str
    version: str | None
    promoted: bool
    comparison: PairedComparison | None
    reason: str = ""


def promote(
    source: str,
    dataset: Dataset,
    models: Models,
    lm: dspy.BaseLM | None,
    force: bool = False,
    split: str = "test",
    out_of_scope_share: float = Target().out_of_scope_share,
) -> Promotion:
    """Register a program and make it champion if it beats the present one (``judge``).

    The former champion keeps the alias ``previous``. A warning says where one of the two was
    fitted on requests that decide.

    Args:
        source: a program's name or folder, or the id of a run that compiled one.
        dataset: whose registry is served.
        lm: the LM that either program may ask.
        force: promote regardless of the comparison.
        split: whose requests decide.
        out_of_scope_share: of the traffic that the precision of what is assigned is stated at.

    Raises:
        InputError: there is no such program or run, or the split is empty.
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
        champion, comparison, verdict = models.version("champion"), None, Verdict(True, "")
        if champion is not None:
            present = models.download(champion)
            pair = [("candidate", candidate), (f"champion {champion}", opened(present))]
            held = [("the candidate", read_manifest(folder)), (pair[1][0], read_manifest(present))]
            warn_of_fitted(held, dataset, split)
            comparison, verdict = _compare(pair, dataset, split, lm, out_of_scope_share)
            if not force and not verdict.better:
                return Promotion(models.name, champion, False, comparison, verdict.reason)
        version = models.register(folder, dataset.registry, prompt_texts(candidate), source)
        models.set_champion(version, champion)
        return Promotion(models.name, version, True, comparison, verdict.reason)


def _compare(
    pair: Sequence[tuple[str, Delegator]],
    dataset: Dataset,
    split: str,
    lm: dspy.BaseLM | None,
    share: float,
) -> tuple[PairedComparison, Verdict]:
    """Compare candidate and champion on a split, and judge the candidate."""
    answered = answer_all(pair, dataset, split, lm=lm)
    outside = answer_outside(pair, dataset, split, lm=lm)
    comparison = compare_outcomes(
        answered, dataset, split, lm=lm, outside=outside, out_of_scope_share=share
    )
    knobs = [program.knobs.values for _, program in pair]
    losses = compare_losses([outcomes for _, outcomes in answered], outside, knobs)
    return comparison, judge(comparison, losses)


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
