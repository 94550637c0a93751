"""Registries to fine-tune an encoder on: dataset directories, agents alone, many registries.

A directory of agents alone is a source too: descriptions and instructions make pairs. Where a
``requests.jsonl`` stands beside its agents, those requests validate or test: agents that have
such requests are not trained on. A file of many small registries is one source for each few of
them, so that a batch holds agents of several.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from optimize.data import SPLITS, Dataset, Request, load_dataset, read_registries
from optimize.finetune.decontaminate import decontaminate
from task_delegator.errors import InputError
from task_delegator.registry import Registry, no_such_agent, readable
from task_delegator.system import sha256_file
from task_delegator.text import fold

_REQUESTS = "requests.jsonl"
_VALIDATION_AGENTS = 40  # the first ones with requests; the others test
_TOGETHER = 24  # small registries that make one to draw batches from


def load_sources(path: Path) -> list[Dataset]:
    """Read a directory, or a file of many small registries (``*.jsonl``).

    Raises:
        InputError: there are no agents, or a file is broken.
    """
    return _small_registries(path) if path.suffix == ".jsonl" else [load_source(path)]


def load_source(path: Path) -> Dataset:
    """Read a dataset directory, or a registry with or without ``requests.jsonl``.

    Raises:
        InputError: there are no agents, or a file is broken.
    """
    if any((path / name).is_file() for name in SPLITS.values()):
        return load_dataset(path)
    registry = Registry.load(path / "agents.json")
    nothing: dict[str, tuple[Any, ...]] = dict.fromkeys(SPLITS, ())
    splits = nothing | _read_requests(path / _REQUESTS, registry)
    return Dataset(path, registry, splits, nothing, nothing, nothing)


class _Group(Dataset):
    """A few small registries of a file, as one."""

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of the file, which holds agents and requests to train on."""
        return sha256_file(self.path.parent) if name in ("agents.json", SPLITS["train"]) else ""

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the file."""
        file = self.path.parent
        return {file.name: sha256_file(file)}


def _small_registries(path: Path) -> list[Dataset]:
    """Return small registries in groups; all their requests are to train."""
    written = list(read_registries(path).values())
    found = []
    for start in range(0, len(written), _TOGETHER):
        members = chain.from_iterable(written[start : start + _TOGETHER])
        named = {fold(readable(one.agent.name)): one for one in members}
        requests = tuple(
            Request(text, (one.agent.name,)) for one in named.values() for text in one.requests
        )
        nothing: dict[str, tuple[Any, ...]] = dict.fromkeys(SPLITS, ())
        splits = nothing | {"train": requests}
        registry = Registry([one.agent for one in named.values()])
        place = path / f"{path.stem}-{start}"
        found.append(_Group(place, registry, splits, nothing, nothing, nothing))
    return found


def sources_to_train_on(train: Sequence[Dataset], kept_out: Sequence[Dataset]) -> list[Dataset]:
    """Return what is trained on: nothing of what is kept out, tested or chosen on.

    Agents of a registry that has no train split go where its requests ask for them: what
    validates or tests them is not to be learned.
    """
    return decontaminate([_without_asked(dataset) for dataset in train], kept_out)


def _without_asked(dataset: Dataset) -> Dataset:
    if not (dataset.path / _REQUESTS).is_file():
        return dataset
    asked = {n for split in dataset.splits.values() for r in split for n in r.acceptable}
    agents = [agent for agent in dataset.registry if agent.name not in asked]
    return replace(dataset, registry=Registry(agents))


def _read_requests(path: Path, registry: Registry) -> dict[str, tuple[Request, ...]]:
    """Return the requests of a ``requests.jsonl`` by split.

    Raises:
        InputError: a line is broken or names an unknown agent.
    """
    if not path.is_file():
        return {}
    found: dict[str, list[Request]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path}: line {number}"
        try:
            row = json.loads(line)
            agent, texts, also = row["agent"], row["requests"], row.get("also", [])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{where}: expected agent and requests as JSON") from error
        if agent not in registry:
            said = no_such_agent(agent, (one.name for one in registry))
            raise InputError(f"{where}: {said}; correct the label or add it")
        acceptable = (agent, *(name for name in also if name in registry))
        split = "validation" if number <= _VALIDATION_AGENTS else "test"
        found.setdefault(split, []).extend(Request(text, acceptable) for text in texts)
    return {split: tuple(requests) for split, requests in found.items()}
