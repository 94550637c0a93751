"""Which requests a program was fitted on, as its manifest tells without their texts."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from optimize.data.dataset import SPLITS, Dataset
from task_delegator.system import sha256_text
from task_delegator.text import fold

_log = logging.getLogger(__name__)

_FITTED = ("train", "validation")  # nothing is fitted on test
_DIGITS = 10  # of a digest: among 10,000 requests two share one with a probability of 5e-5


def fitted_on(dataset: Dataset, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a manifest says of the requests that a program was fitted on.

    ``fitted_on`` lists a digest of each. They are those of train and validation, in scope and out
    of scope. ``fitted_files`` holds the digests of files of an older program, which lists none.

    Args:
        dataset: that the program is fitted on now.
        before: manifest of the program that it was made from, whose requests it keeps.
    """
    texts = (text for split in _FITTED for text in texts_of(dataset, split))
    known, files = _noted(before or {})
    listed = {"fitted_on": " ".join(sorted(known | _digests(texts)))}
    return listed | {"fitted_files": files} if files else listed


def count_fitted(manifest: Mapping[str, Any], dataset: Dataset, split: str) -> int:
    """Return how many requests of a split a program was fitted on, out of scope or in.

    A program that was calibrated anew was fitted on what it was compiled from, too. An older
    manifest lists no requests: where it names the very file, all of the split took part. So did
    they where a later program was made from it.

    Args:
        manifest: of the program.
        dataset, split: whose requests are asked about.
    """
    texts = texts_of(dataset, split)
    known: set[str] = set()
    held: Any = manifest
    while isinstance(held, Mapping):
        listed, files = _noted(held)
        known |= listed
        digest = dataset.sha256(SPLITS[split])
        if split in _FITTED and digest and files.get(SPLITS[split]) == digest:
            return len(texts)
        held = held.get("calibrated_from")
    return sum(_digest(text) in known for text in texts)


def warn_of_fitted(
    manifests: Iterable[tuple[str, Mapping[str, Any]]], dataset: Dataset, split: str
) -> None:
    """Warn in one line where programs were fitted on requests that they are measured on.

    Args:
        manifests: of the programs, by name.
        dataset, split: that they are measured on.
    """
    counts = [(name, count_fitted(held, dataset, split)) for name, held in manifests]
    if any(count for _, count in counts):
        _log.warning(
            "%s: of %d %s requests took part in fitting: %s; scores on these flatter: take "
            "requests that took part in none, such as --split test",
            dataset.path,
            len(texts_of(dataset, split)),
            split,
            ", ".join(f"{count} in {name}" for name, count in counts if count),
        )


def texts_of(dataset: Dataset, split: str) -> list[str]:
    """Return the requests of a split, in scope and out of scope."""
    inside = [request.text for request in dataset.splits[split]]
    return [*inside, *dataset.out_of_scope.get(split, ())]


def _noted(manifest: Mapping[str, Any]) -> tuple[set[str], Mapping[str, Any]]:
    """Return the digests of requests that a manifest lists, and those of files that it does not."""
    entry = manifest.get("dataset")
    entry = entry if isinstance(entry, Mapping) else {}
    listed = entry.get("fitted_on")
    known = set(listed.split()) if isinstance(listed, str) else set()
    files = entry.get("fitted_files" if isinstance(listed, str) else "sha256")
    return known, files if isinstance(files, Mapping) else {}


def _digests(texts: Iterable[str]) -> set[str]:
    return {_digest(text) for text in texts}


def _digest(text: str) -> str:
    return sha256_text(fold(text))[:_DIGITS]
