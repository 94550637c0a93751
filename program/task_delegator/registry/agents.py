"""Agent and Registry: fields of an agent, validation, reading, writing, filtering."""

import json
import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ..errors import InputError
from ..system import Lock, sha256_text, write_text
from ..text import longest_form
from .lint import Finding, find_problems
from .permissions import permission_set
from .rules import (
    AGENT_CHARACTERS,
    NAME_CHARACTERS,
    TOOLS,
    Samples,
    Text,
    check_fields,
    check_name,
    first_fault,
    name_key,
    name_taken,
    no_such_agent,
)
from .tool import ToolOrName

if TYPE_CHECKING:
    from .watch import Watch

_log = logging.getLogger(__name__)


# Neither its domain nor who may use it says whom a task is for.
_READ = {
    *("name", "description", "instructions", "tools", "user_request_samples"),
    *("use_when", "do_not_use_when"),
}


class Agent(BaseModel):
    """A worker, AI or human, that tasks can be delegated to.

    Only ``name`` is required. A tool is a name, or an object that describes it (``Tool``).
    Unknown fields are kept and written back unchanged, but for those that nearly spell a known
    one: ``required_permission`` would leave the agent open to everybody.

    Raises:
        ValidationError: a field has a wrong type, is too long or is misspelled, or the name is
            empty or holds characters that cannot be shown on a line.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Annotated[str, Field(max_length=NAME_CHARACTERS)]
    description: Text = ""
    instructions: Text = ""
    tools: Annotated[tuple[ToolOrName, ...], Field(max_length=TOOLS)] = ()
    user_request_samples: Samples = ()
    use_when: Text = ""
    do_not_use_when: Text = ""
    required_permissions: frozenset[str] = frozenset()
    kind: Literal["ai", "human"] = "ai"
    domain: str = ""

    @model_validator(mode="before")
    @classmethod
    def _fields_are_spelled_right(cls, values: Any) -> Any:
        if isinstance(values, dict):
            check_fields(values, cls.model_fields)
        return values

    @field_validator("name")
    @classmethod
    def _name_can_be_shown(cls, name: str) -> str:
        return check_name(name)

    @field_validator("user_request_samples")
    @classmethod
    def _samples_say_something(cls, samples: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sample for sample in samples if sample.strip()))

    @model_validator(mode="after")
    def _says_no_more_than_can_be_searched(self) -> "Agent":
        self.check_length()
        return self

    def check_length(self) -> None:
        """Check that the agent says no more than can be searched; copies are not checked before.

        Raises:
            ValueError: it says more.
        """
        texts = (self.description, self.use_when, *map(str, self.tools))
        total = sum(map(longest_form, (*texts, *self.user_request_samples)))
        if total > AGENT_CHARACTERS:
            raise ValueError(
                f"{self.name!r:.80} has {total:,} characters in its description, tools and "
                f"samples: shorten them to {AGENT_CHARACTERS:,}"
            )

    def permits(self, permissions: Collection[str] | None) -> bool:
        """Return whether a caller with these permissions may use the agent; None permits all.

        Raises:
            TypeError: they are one text, whose letters would be taken for permissions.
        """
        held = permission_set(permissions)
        return held is None or self.required_permissions <= held

    def digest(self) -> str:
        """Return 16 hexadecimal digits that change with any field of the agent."""
        return _digest(self.to_dict())

    def reading_digest(self) -> str:
        """Return 16 hexadecimal digits that change with what tasks are compared with."""
        return _digest(self.model_dump(mode="json", include=_READ))

    def to_dict(self) -> dict[str, Any]:
        """Return the agent as JSON values; sets become sorted lists."""
        values = self.model_dump(mode="json")
        values["required_permissions"] = sorted(self.required_permissions)
        return values


def _digest(values: dict[str, Any]) -> str:
    return sha256_text(json.dumps(values, sort_keys=True))[:16]


def _as_checked(agent: Agent) -> Agent:
    """Return an agent whose fields are what they should be: ``model_copy`` checks none of them.

    Raises:
        TypeError: it is no agent.
        InputError: a field is wrong.
    """
    if not isinstance(agent, Agent):
        raise TypeError(f"{agent!r:.80} is no Agent: make one, as Agent(**row)")
    try:
        checked = Agent.model_validate(dict(agent))
    except ValidationError as error:
        raise InputError(f"agent {agent.name!r:.80}: {first_fault(error)}") from error
    frozen = isinstance(agent.required_permissions, frozenset)
    return agent if frozen and checked == agent else checked


class Registry:
    """Agents by unique name.

    The order of the agents is kept for writing. It does not affect ranking.

    Attributes:
        version: a number that grows with every change. An index compares it to follow.

    Raises:
        InputError: two agents have the same name, or names that differ in case, width or white
            space alone.
    """

    def __init__(self, agents: Iterable[Agent] = ()) -> None:
        self._agents = _by_key(agents)  # replaced, never changed: who iterates sees one state
        self._lock = Lock()
        self.version = 0

    @classmethod
    def load(cls, path: str | Path) -> "Registry":
        """Read agents from a file or a folder, in any format that is known.

        A JSON list of agents, the same as YAML or JSONL, or what others write: ``docs/registry.md``
        says which. What is worth knowing of foreign files is logged.

        Raises:
            InputError: a file is missing, nothing of it is an agent, or two agents have the same
                name.
        """
        from .formats import read_agents  # they read agents, so that they come later

        read = read_agents([path])
        if read.refused:
            first, *others = read.refused
            raise InputError(f"{first} (and {len(others)} more)" if others else first)
        for note in read.notes:
            _log.warning("%s", note)
        return cls(read.agents)

    @classmethod
    def from_mlflow(
        cls,
        status: str = "active",
        *,
        alias: str | None = None,
        split: Literal["cards", "skills"] = "cards",
        require: Collection[str] = (),
    ) -> "Registry":
        """Read agents from MLflow's registry of MCP servers (extra ``mlflow``; experimental there).

        Args:
            status: of the versions that are read: ``active``, ``draft`` or ``deprecated``.
            alias: of the version that is read of each server. If None, the last of that status.
            split: an agent a server, or one for each of its tools.
            require: permissions that a caller needs for each agent.

        Raises:
            InputError: MLflow is older than 3.15 or cannot be reached, or a server is no agent.
        """
        from .mlflow_servers import read_servers  # it makes agents, so that it comes later

        return cls(read_servers(status, alias, split, require))

    def save(self, path: str | Path) -> None:
        """Write the agents as JSON; the file is replaced in one step."""
        write_text(Path(path), json.dumps([a.to_dict() for a in self], indent=1) + "\n")

    def __iter__(self) -> Iterator[Agent]:
        """Iterate over the agents as they are now, in the order they were added."""
        return iter(tuple(self._agents.values()))

    def __len__(self) -> int:
        """Return the number of agents."""
        return len(self._agents)

    def __contains__(self, name: object) -> bool:
        """Return whether an agent has this name."""
        agent = self._agents.get(name_key(name)) if isinstance(name, str) else None
        return agent is not None and agent.name == name

    def __getitem__(self, name: str) -> Agent:
        """Return the agent with this name; raise ``KeyError`` if there is none."""
        agent = self._agents[name_key(name)]
        if agent.name != name:
            raise KeyError(name)
        return agent

    def add(self, agent: Agent) -> None:
        """Add an agent.

        Raises:
            InputError: a field is wrong, as of an unchecked copy, or its name is taken, by the
                same letters or by some that look the same.
        """
        agent = _as_checked(agent)
        with self._lock:
            key = name_key(agent.name)
            if key in self._agents:
                raise name_taken(agent.name, self._agents[key].name)
            self._agents = {**self._agents, key: agent}
            self.version += 1

    def remove(self, name: str) -> None:
        """Remove an agent.

        Raises:
            InputError: no agent has this name.
        """
        with self._lock:
            self._require(name)
            gone = name_key(name)
            self._agents = {key: agent for key, agent in self._agents.items() if key != gone}
            self.version += 1

    def replace(self, agent: Agent) -> None:
        """Replace the agent that has the same name.

        Raises:
            InputError: no agent has this name, or a field is wrong, as of an unchecked copy.
        """
        agent = _as_checked(agent)
        with self._lock:
            self._require(agent.name)
            self._agents = {**self._agents, name_key(agent.name): agent}
            self.version += 1

    def swap(self, agents: Iterable[Agent]) -> None:
        """Replace all agents at once; those that are the same stay the same objects.

        Raises:
            InputError: two agents have the same name, or names that look the same.
        """
        fresh = _by_key(agents)
        with self._lock:
            held = self._agents
            if list(fresh.values()) != list(held.values()):
                self._agents = {k: held[k] if held.get(k) == a else a for k, a in fresh.items()}
                self.version += 1

    def watch(self, path: str | Path, seconds: float = 1.0) -> "Watch":
        """Follow a file or a folder from now on: when it changes, its agents are taken over.

        Args:
            path: what ``load`` reads; an ``enrichment.json`` next to it is applied.
            seconds: between two looks. Replace a file by renaming another: one that is written in
                its place is taken over once it has been still for so long.

        Returns:
            What follows it, until it is closed; a context manager.
        """
        from .watch import Watch  # it reads registries, so that it comes later

        return Watch(self, path, seconds=seconds)

    def watch_mlflow(
        self,
        status: str = "active",
        *,
        alias: str | None = None,
        split: Literal["cards", "skills"] = "cards",
        require: Collection[str] = (),
        seconds: float = 60.0,
    ) -> "Watch":
        """Follow MLflow's MCP servers as ``watch`` follows a file; a look asks for every server.

        Give what ``from_mlflow`` was given: without ``require``, agents would be open to everybody.
        """
        from .mlflow_servers import watch_servers

        return watch_servers(self, status, alias, split, require, seconds)

    def permitted(self, permissions: Collection[str] | None) -> frozenset[str]:
        """Return the names of the agents that a caller may use; None permits all."""
        return frozenset(agent.name for agent in self if agent.permits(permissions))

    def sha256(self) -> str:
        """Return a digest of all fields of all agents; their order does not count."""
        rows = sorted((agent.to_dict() for agent in self), key=lambda row: row["name"])
        return sha256_text(json.dumps(rows, sort_keys=True))

    def lint(self, requests: Iterable[tuple[str, str]] = ()) -> list[Finding]:
        """Return what makes delegation to these agents less accurate.

        Args:
            requests: labeled requests as (agent name, text). They are compared with the samples.
        """
        return find_problems(sorted(self, key=lambda agent: agent.name), requests)

    def _require(self, name: str) -> None:
        if name not in self:
            raise InputError(no_such_agent(name, (agent.name for agent in self)))


def _by_key(agents: Iterable[Agent]) -> dict[str, Agent]:
    found: dict[str, Agent] = {}
    for agent in agents:
        if not (isinstance(agent, Agent) and isinstance(agent.required_permissions, frozenset)):
            agent = _as_checked(agent)
        key = name_key(agent.name)
        if key in found:
            raise name_taken(agent.name, found[key].name)
        found[key] = agent
    return found
