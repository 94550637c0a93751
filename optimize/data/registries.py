"""Many small registries with requests, to fit what is to hold for registries that come later."""

import json
from dataclasses import dataclass
from pathlib import Path

from task_delegator.errors import InputError
from task_delegator.registry import Agent

REGISTRIES = Path("datasets/registries.jsonl")
ENCODER_REGISTRIES = Path("datasets/encoder_registries.jsonl")  # that the encoder is trained on


@dataclass(frozen=True, slots=True)
class WrittenAgent:
    """An agent of a small registry.

    Attributes:
        registry: its name; the agents of one are look-alikes.
        agent: with its samples.
        requests: that it is right for, and no other of its registry.
    """

    registry: str
    agent: Agent
    requests: tuple[str, ...]


def read_registries(path: str | Path = REGISTRIES) -> dict[str, list[WrittenAgent]]:
    """Return the agents of each registry.

    Args:
        path: JSON Lines of ``registry``, ``name``, ``description``, ``samples``, ``requests``;
            ``instructions`` where it has some.

    Raises:
        InputError: the file cannot be read, or a line is broken.
    """
    found: dict[str, list[WrittenAgent]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            agent = Agent(
                name=row["name"],
                description=row["description"],
                instructions=row.get("instructions", ""),
                user_request_samples=tuple(row["samples"]),
            )
            written = WrittenAgent(row["registry"], agent, tuple(row["requests"]))
        except (ValueError, KeyError, TypeError) as error:
            what = str(error).splitlines()[0]
            raise InputError(f"{path}: line {number}: no agent of a registry: {what}") from error
        found.setdefault(written.registry, []).append(written)
    return found
