"""Registries to fine-tune an encoder on: dataset directories, and agents without any request.

A directory of agents alone is a source too: descriptions and instructions make pairs. Where a
``requests.jsonl`` stands beside its agents, those requests validate or test: agents that have
such requests are not trained on.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optimize.data import SPLITS, Dataset, Request, load_dataset
from optimize.finetune.decontaminate import decontaminate
from task_delegator.errors import InputError
from task_delegator.registry import Registry

_REQUESTS = "requests.jsonl"
_VALIDATION_AGENTS = 40  # the first ones with requests; the others test


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
            raise InputError(f"{where}: no agent is named {agent!r}; correct the label or add it")
        acceptable = (agent, *(name for name in also if name in registry))
        split = "validation" if number <= _VALIDATION_AGENTS else "test"
        found.setdefault(split, []).extend(Request(text, acceptable) for text in texts)
    return {split: tuple(requests) for split, requests in found.items()}
