"""Small real objects that several tests build on."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from task_delegator.delegator import Delegator
from task_delegator.embedders.base import Encoded, encoded
from task_delegator.knobs import KnobValues
from task_delegator.registry.agents import Agent, Registry
from task_delegator.retrieval.channels import CHANNELS

ROOT = Path(__file__).parents[2]
PUBLIC = ROOT.parent / "shared" / "data"


class HashedWords:
    """Embed a text as the sum of its words' fixed random vectors: fast, and real enough to rank."""

    id = "hashed-words"
    languages: frozenset[str] | None = None

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Encoded:
        words = [word.strip(".,?!").lower() for word in text.split()] or [""]
        ids = np.array([sum(ord(c) * 31**i for i, c in enumerate(w)) % 30011 for w in words])
        rows = np.stack([_row(int(i)) for i in ids])
        return encoded(rows.sum(axis=0), ids, rows)


@cache
def _row(word: int) -> np.ndarray:
    """Return a word's vector, drawn once: a generator takes longer to make than to use."""
    return np.random.default_rng(word).normal(size=64)


class CountingWords(HashedWords):
    """Note every text that is embedded."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        self.texts += texts
        return super().encode(texts)


def delegator(registry: Registry, knobs: Mapping[str, Any] | None = None) -> Delegator:
    """Return a program that embeds by hashed words and asks an LM once per order."""
    program = Delegator(registry, HashedWords())
    program.knobs.set({"retrieval.k": 6, "lm.repeats": 1} | dict(knobs or {}))
    return program


def office_registry() -> Registry:
    """Six agents: look-alikes, one without samples, one that needs a permission, one person."""
    return Registry(
        [
            make_agent("Refunds", "pays money back", "refund my order", "money back please"),
            make_agent("Invoices", "copies of invoices", "send the invoice again", "wrong VAT id"),
            make_agent("Payroll", "salaries of staff", "my salary is late", needs=("hr.pay",)),
            make_agent("Travel", "books trains and hotels", "book a train", "hotel in Porto"),
            make_agent("Events", "invites people to fairs and webinars"),
            make_agent("Ada", "angry customers", "customer shouts at us", kind="human"),
        ]
    )


def make_agent(name, description="", *samples, needs=(), kind: Any = "ai") -> Agent:
    return Agent(
        name=name,
        description=description,
        user_request_samples=samples,
        required_permissions=frozenset(needs),
        kind=kind,
    )


def public(name: str) -> Path:
    """Return a public data set's folder, or skip the test where it is missing."""
    folder = PUBLIC / name
    if not folder.is_dir():
        pytest.skip(f"public data not there: {folder}")
    return folder


def only(*channels: str, knobs: Mapping[str, Any] | None = None) -> KnobValues:
    """Return knobs that weigh the named channels 1 and all others 0."""
    weights: dict[str, Any] = {f"retrieval.{name}": float(name in channels) for name in CHANNELS}
    return KnobValues().replaced(weights | dict(knobs or {}))


def small_dataset(folder: Path, agents: int = 12) -> Path:
    """Write a dataset directory of the first agents of each domain, with all their requests."""
    registry = json.loads((ROOT / "datasets" / "agents.json").read_text())
    kept = [agent for i, agent in enumerate(registry) if i % 14 < agents // 5 + 1][:agents]
    names = {agent["name"] for agent in kept}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agents.json").write_text(json.dumps(kept))
    for name in ("train.json", "validation.json", "ground_truth.json"):
        rows = json.loads((ROOT / "datasets" / name).read_text())
        mine = [row for row in rows if row["expected_agent_name"] in names]
        (folder / name).write_text(json.dumps(mine))
    strangers = json.loads((ROOT / "datasets" / "out_of_scope.json").read_text())
    (folder / "out_of_scope.json").write_text(json.dumps(strangers[::4]))
    return folder
