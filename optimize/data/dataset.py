"""Dataset: read a directory with a registry and labeled requests.

A directory holds ``agents.json`` and ``train.json``, ``validation.json`` and
``ground_truth.json`` (the test split); ``out_of_scope.json``, ``multi.json``,
``languages.json`` and ``enrichment.json`` are optional. Ours, the public sets and a
customer's look the same.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optimize.data.names import check_names
from optimize.data.rows import field, read_rows
from task_delegator.errors import InputError
from task_delegator.registry import FILE, Registry, complete, no_such_agent, read_enrichment
from task_delegator.system import sha256_file
from task_delegator.text import fold

_log = logging.getLogger(__name__)

SPLITS = {"train": "train.json", "validation": "validation.json", "test": "ground_truth.json"}
LANGUAGES = "languages.json"
_OUT_OF_SCOPE, _MULTI = "out_of_scope.json", "multi.json"
OURS = Path("datasets")

NEAR_COPY = 0.6  # Jaccard overlap of words at which a request repeats a sample


@dataclass(frozen=True, slots=True)
class Request:
    """A labeled request: its text and the acceptable agents.

    Attributes:
        acceptable: names of acceptable agents, the labeled one first.
    """

    text: str
    acceptable: tuple[str, ...]

    @property
    def expected(self) -> str:
        """The labeled agent."""
        return self.acceptable[0]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A registry with labeled requests.

    Attributes:
        splits: requests by split name; a missing file is an empty split.
        out_of_scope: texts of requests that no agent serves, by split name.
        multi: tasks for several agents, in order, by split name.
        other_languages: labeled requests in other languages than the agents', by split name.
        enriched: number of agents that ``enrichment.json`` completed.
    """

    path: Path
    registry: Registry
    splits: dict[str, tuple[Request, ...]]
    out_of_scope: dict[str, tuple[str, ...]]
    multi: dict[str, tuple[Request, ...]]
    other_languages: dict[str, tuple[Request, ...]]
    enriched: int = 0

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file of the directory, '' where it is missing."""
        path = self.path / name
        return sha256_file(path) if path.is_file() else ""

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file that was read, by name."""
        names = ("agents.json", *SPLITS.values(), _OUT_OF_SCOPE, _MULTI, LANGUAGES)
        used = (*names, FILE) if self.enriched else names
        return {name: self.sha256(name) for name in used if self.sha256(name)}

    def without_plans(self) -> "Dataset":
        """Return a copy without tasks for several agents, for which compiling fits no plans."""
        return replace(self, multi=dict.fromkeys(self.multi, ()))


def load_dataset(path: str | Path, enriched: bool = True) -> Dataset:
    """Read a dataset directory.

    Args:
        path: the directory.
        enriched: complete the agents from ``enrichment.json``, if it exists, and log that.

    Raises:
        InputError: the directory is missing, a file is broken or is named as one that is not read,
            a key is misspelled, or a label names an unknown agent.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such directory; it should hold agents.json and its splits")
    check_names(folder, (*SPLITS.values(), _OUT_OF_SCOPE, _MULTI, LANGUAGES, FILE))
    registry = Registry.load(folder / "agents.json")
    completion = folder / FILE
    additions = 0
    if enriched and os.path.lexists(completion):
        written = read_enrichment(completion)
        registry = complete(registry, written, completion)
        additions = len(written.agents)
        _log.warning("%s: completes %d of %d agents", completion, additions, len(registry))
    splits = {
        split: tuple(_read_requests(folder / name, registry)) for split, name in SPLITS.items()
    }
    if not any(splits.values()):
        raise InputError(f"{folder}: no labeled requests; add one of {', '.join(SPLITS.values())}")
    outside, unsplit = _read_out_of_scope(folder / _OUT_OF_SCOPE)
    _warn_of_splits(folder / _OUT_OF_SCOPE, outside, unsplit, bool(splits["validation"]))
    return Dataset(
        path=folder,
        registry=registry,
        splits=splits,
        out_of_scope=outside,
        multi=_read_multi(folder / _MULTI, registry),
        other_languages=_read_other_languages(folder / LANGUAGES, registry),
        enriched=additions,
    )


def known_texts(dataset: Dataset) -> set[str]:
    """Return all requests, in and out of scope, and all samples, folded for comparison."""
    requests = [request.text for split in dataset.splits.values() for request in split]
    outside = [text for split in dataset.out_of_scope.values() for text in split]
    samples = [s for agent in dataset.registry for s in agent.user_request_samples]
    return {fold(text) for text in (*requests, *outside, *samples)}


def most_of_an_agent(dataset: Dataset) -> int:
    """Return the largest number of train requests that one agent has."""
    counts = Counter(request.expected for request in dataset.splits["train"])
    return max(counts.values(), default=0)


def _known(names: Iterable[Any], registry: Registry, where: str) -> tuple[str, ...]:
    known = tuple(names)
    for name in known:
        if not isinstance(name, str) or name not in registry:
            said = no_such_agent(name, (agent.name for agent in registry))
            raise InputError(f"{where}: {said}; correct the label or add it")
    return known


def _read_requests(path: Path, registry: Registry) -> Iterator[Request]:
    keys = "expected_agent_name", "user_requests", "acceptable_agent_names"
    for where, row in read_rows(path, keys):
        label = field(row, "expected_agent_name", str, where)
        also = row.get("acceptable_agent_names", {})
        for text in field(row, "user_requests", list, where):
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"{where}: a request is empty or no text")
            others = also.get(text, []) if isinstance(also, dict) else also
            if not isinstance(others, list):
                raise InputError(f"{where}: expected 'acceptable_agent_names' to be a list")
            yield Request(text, tuple(dict.fromkeys(_known((label, *others), registry, where))))


def _split(row: dict[str, Any], where: str) -> str:
    """Return a row's split; ``test_in_domain`` and the like are parts of ``test``."""
    given = str(row.get("split", "test"))
    split = given.partition("_")[0]
    if split not in SPLITS:
        raise InputError(f"{where}: unknown split {given!r}; use one of {', '.join(SPLITS)}")
    return split


def _read_out_of_scope(path: Path) -> tuple[dict[str, tuple[str, ...]], int]:
    """Return the requests of each split, and how many rows name no split."""
    texts: dict[str, list[str]] = {split: [] for split in SPLITS}
    unsplit = 0
    keys = "user_request", "split"
    for where, row in read_rows(path, keys):
        unsplit += "split" not in row
        split = _split(row, where)
        texts[split].append(field(row, "user_request", str, where))
    return {split: tuple(found) for split, found in texts.items()}, unsplit


def _warn_of_splits(
    path: Path, texts: dict[str, tuple[str, ...]], unsplit: int, calibrates: bool
) -> None:
    """Warn in one line where rows may count as test by mistake, or none helps to calibrate.

    Args:
        path: of the requests out of scope.
        texts: of them, by split.
        unsplit: rows that name no split.
        calibrates: whether the dataset has validation requests in scope.
    """
    rows = sum(map(len, texts.values()))
    uncalibrated = calibrates and rows and not texts["validation"]
    if 0 < unsplit < rows or uncalibrated:
        _log.warning(
            "%s: of %d rows %d name no split and count as test, and %d are of validation, on "
            'which confidence is calibrated: give each row its "split", "validation" to some',
            path,
            rows,
            unsplit,
            len(texts["validation"]),
        )


def _read_multi(path: Path, registry: Registry) -> dict[str, tuple[Request, ...]]:
    tasks: dict[str, list[Request]] = {split: [] for split in SPLITS}
    keys = "task", "expected_agent_names", "split"
    for where, row in read_rows(path, keys):
        names = _known(field(row, "expected_agent_names", list, where), registry, where)
        split = _split(row, where)
        tasks[split].append(Request(field(row, "task", str, where), names))
    return {split: tuple(found) for split, found in tasks.items()}


def _read_other_languages(path: Path, registry: Registry) -> dict[str, tuple[Request, ...]]:
    requests: dict[str, list[Request]] = {split: [] for split in SPLITS}
    keys = "user_request", "expected_agent_name", "split"
    for where, row in read_rows(path, keys):
        label = _known([row.get("expected_agent_name")], registry, where)
        text = field(row, "user_request", str, where)
        requests[_split(row, where)].append(Request(text, label))
    return {split: tuple(found) for split, found in requests.items()}
