"""Rows of recorded answers: read, check, look up.

A row is a JSON object on one line. Without ``kind`` it is a belief about a task:

    {"split": "test", "task": TEXT, "probs": {AGENT: P}, "none": P}

asked over the whole registry, or over the agents of a ``shortlist``. Agents that are not listed
got next to nothing. A row with a ``kind`` is what the LM wrote to another question:

    {"split": "test", "kind": "rubric", "task": TEXT, "agent": AGENT, "answer": {"rubric": 4}}

``kind`` is the question's output fields, without ``reasoning``, joined by ``+``; ``task`` and
``agent`` are there where the question has such a field. ``{"kind": "registry", "agents":
[AGENT]}`` names agents that no other row of the file does.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optimize.data import SPLITS
from task_delegator.errors import InputError
from task_delegator.registry import readable
from task_delegator.system import read_json
from task_delegator.text import one_line

_REGISTRY = "registry"
_ROUNDING = 0.02  # that the two-digit probabilities of a row may be off 1 together


@dataclass(frozen=True, slots=True)
class Belief:
    """What the LM believed of one task.

    Attributes:
        probabilities: by agent; sums to 1 with ``none``.
        shortlist: the agents that it was shown; None where it saw the whole registry.
    """

    split: str
    task: str
    probabilities: Mapping[str, float]
    none: float
    shortlist: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What tells a question that is no classification from another, folded.

    Attributes:
        kind: its output fields, joined by ``+``.
        task, agent: what these input fields hold; "" where it has none.
    """

    kind: str
    task: str = ""
    agent: str = ""


@dataclass(slots=True)
class RecordedFile:
    """The answers over one registry.

    Attributes:
        name: of the file, without ``.jsonl``.
        beliefs: by folded task.
        written: answers to other questions.
        agents: names of the registry's agents, by the name that a prompt shows.
    """

    name: str
    beliefs: dict[str, Belief] = field(default_factory=dict)
    written: dict[Question, dict[str, Any]] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)

    @property
    def shortlisted(self) -> bool:
        """Tell whether the LM saw shortlists instead of the whole registry."""
        return any(belief.shortlist is not None for belief in self.beliefs.values())

    def agent(self, line: str) -> str | None:
        """Return the agent that a prompt's line shows, None where it is not of the registry."""
        shown = [name for name in self.agents if line == name or line.startswith(f"{name} - ")]
        return self.agents[max(shown, key=len)] if shown else None

    def named(self, names: Sequence[str], where: str) -> None:
        """Add agents to the registry.

        Raises:
            InputError: two agents look the same in a prompt.
        """
        for name in names:
            shown = one_line(readable(name))
            if self.agents.setdefault(shown, name) != name:
                raise InputError(f"{where}: {name!r} and {self.agents[shown]!r} look the same")


def fold(text: str) -> str:
    """Return a text as the program's prompts show it."""
    return one_line(text)


def read_folder(
    folder: Path, file: str | None = None, split: str | None = None
) -> list[RecordedFile]:
    """Read a folder's files.

    A file of shortlists is read only where it is named: its tasks stand in the file of the whole
    registry too.

    Args:
        folder: of JSONL files.
        file: the name of the one to read; its ``.jsonl`` may be left out.
        split: keep this split's rows alone.

    Raises:
        InputError: the folder or the file is missing, or a row is broken.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of recorded answers")
    paths = sorted(folder.glob("*.jsonl"))
    if file is not None:
        paths = [path for path in paths if path.stem == file.removesuffix(".jsonl")]
    if not paths:
        raise InputError(f"{folder}: no recorded answers; expected {file or '*'}.jsonl")
    found = [_read(path, split) for path in paths]
    return found if file is not None else [each for each in found if not each.shortlisted]


def _read(path: Path, split: str | None) -> RecordedFile:
    found = RecordedFile(path.stem)
    beside = path.parent.parent / path.stem / "agents.json"  # the data set itself
    if beside.is_file():
        found.named([str(agent["name"]) for agent in read_json(beside)], str(beside))
    splits: dict[Any, str] = {}
    for where, row in _rows(path):
        if row.get("kind") == _REGISTRY:
            found.named(_texts(row, "agents", where), where)
            continue
        if row.get("split") not in SPLITS:
            raise InputError(f"{where}: 'split' must be one of {', '.join(SPLITS)}")
        if "kind" in row:
            question = Question(row["kind"], fold(row.get("task", "")), fold(row.get("agent", "")))
            _add(found.written, question, _answer(row, where), where)
            splits[question] = row["split"]
            continue
        belief = _belief(row, where)
        _add(found.beliefs, fold(belief.task), belief, where)
        found.named([*belief.probabilities, *(belief.shortlist or ())], where)
    if split is not None:  # after the check that no answer contradicts another
        found.beliefs = {task: b for task, b in found.beliefs.items() if b.split == split}
        found.written = {q: answer for q, answer in found.written.items() if splits[q] == split}
    return found


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: no JSON: {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected a JSON object")
        for name in ("task", "kind", "agent"):
            if name in row and not isinstance(row[name], str):
                raise InputError(f"{where}: {name!r} must be a text")
        yield where, row


def _add(known: dict[Any, Any], key: Any, value: Any, where: str) -> None:
    if known.setdefault(key, value) != value:
        raise InputError(f"{where}: recorded before with another answer; keep one of the two")


def _belief(row: dict[str, Any], where: str) -> Belief:
    probabilities, none, task = row.get("probs"), row.get("none"), row.get("task")
    if not task or not isinstance(probabilities, dict):
        raise InputError(f"{where}: expected 'task', 'probs' {{agent: probability}} and 'none'")
    said = [*probabilities.values(), none]
    if not all(
        isinstance(p, int | float) and not isinstance(p, bool) and 0 <= p <= 1 for p in said
    ):
        raise InputError(f"{where}: a probability is no number from 0 to 1")
    total = math.fsum(said)
    if abs(total - 1) > _ROUNDING:
        raise InputError(f"{where}: the probabilities and 'none' sum to {total:.3f}, not 1")
    shortlist = frozenset(_texts(row, "shortlist", where)) if "shortlist" in row else None
    return Belief(
        split=row["split"],
        task=task,
        probabilities={name: p / total for name, p in probabilities.items()},
        none=said[-1] / total,
        shortlist=shortlist,
    )


def _answer(row: dict[str, Any], where: str) -> dict[str, Any]:
    answer = row.get("answer")
    if not isinstance(answer, dict) or "+".join(_asked(answer)) != row["kind"]:
        raise InputError(
            f"{where}: 'kind' must be the fields of 'answer' joined by +, without 'reasoning'"
        )
    return answer


def _asked(fields: Mapping[str, Any] | Sequence[str]) -> list[str]:
    return [name for name in fields if name != "reasoning"]


def _texts(row: dict[str, Any], name: str, where: str) -> list[str]:
    texts = row.get(name)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where}: {name!r} must be a list of names")
    return texts
