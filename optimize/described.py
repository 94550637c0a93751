"""Registries without labelled requests: what agents say of themselves stands for requests.

For training only (an inverse cloze task; Lee et al., 2019): the opening of an agent's
description, or of a tool's, is the task, and the agent is shown without it. It teaches an LM to
find the line that is about the same thing; how people ask is learned from labelled requests.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator

from optimize.data import Dataset, Request
from task_delegator.agents import Agent, Registry, first_fault, fold, read_json
from task_delegator.errors import InputError

_AGENTS = 4000  # a fixed random part of more: they cost time, not variety
_TOOLS = 4  # of an agent, as its sample requests
_WORDS = (3, 30)  # of an opening; less says nothing, more is cut


def described_dataset(path: str | Path, others: Iterable[Registry], seed: int = 0) -> Dataset:
    """Read ``agents.json`` of a directory; openings of descriptions become its train split.

    Args:
        path: the directory; tools are names or objects with ``description``.
        others: registries whose agents are left out, by name or description.
        seed: of the part that is taken of a large registry.

    Raises:
        InputError: the file is missing or broken, or no description is left.
    """
    file = Path(path) / "agents.json"
    rows = read_json(file)
    if not isinstance(rows, list):
        raise InputError(f"{file}: expected a JSON list of agents, got {type(rows).__name__}")
    known = {fold(t) for other in others for a in other for t in (a.name, a.description) if t}
    agents = dict[str, Agent]()
    for number, row in enumerate(rows):
        try:
            agent = _agent(row)
        except ValidationError as error:
            raise InputError(f"{file}: agent {number}: {first_fault(error)}") from error
        if opening(agent.description) and not known & {fold(agent.name), fold(agent.description)}:
            agents.setdefault(agent.name, agent)
    if not agents:
        raise InputError(f"{file}: no agent with a description that no other registry has")
    kept = random.Random(seed).sample(list(agents.values()), min(len(agents), _AGENTS))
    said = Counter(text for agent in kept for text in _said(agent))  # whose it is, if several's?
    kept = [
        agent.model_copy(
            update={
                "user_request_samples": tuple(t for t in agent.user_request_samples if said[t] == 1)
            }
        )
        for agent in kept
    ]
    requests = tuple(
        Request(text, (agent.name,))
        for agent in kept
        if said[text := opening(agent.description)] == 1
    )
    splits = {"train": requests, "validation": (), "test": ()}
    return Dataset(Path(path), Registry(kept), splits, {}, {}, {})


def opening(text: str) -> str:
    """Return the first sentence, at most thirty words of it; empty where it has less than three."""
    words = re.split(r"(?<=[.!?;])\s|\n", text.strip(), maxsplit=1)[0].split()
    least, most = _WORDS
    return " ".join(words[:most]) if len(words) >= least else ""


def _said(agent: Agent) -> set[str]:
    return {opening(agent.description), *agent.user_request_samples}


def _agent(row: Any) -> Agent:
    if not isinstance(row, dict) or not isinstance(row.get("tools", []), list):
        return Agent.model_validate(row)  # which says what is wrong with it
    tools = [_Tool.model_validate(tool) for tool in row.get("tools", [])]
    openings = list(dict.fromkeys(text for t in tools if (text := opening(t.description or ""))))
    told = {"tools": [tool.name for tool in tools], "user_request_samples": openings[:_TOOLS]}
    return Agent.model_validate(row | told)


class _Tool(BaseModel):
    """A tool: its name, or an object with more."""

    name: str
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value
