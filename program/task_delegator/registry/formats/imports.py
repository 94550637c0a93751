"""Make agents of what sources say: names, permissions, copies, and what is refused."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import ValidationError

from ...errors import InputError
from ...text import one_line
from ..agents import Agent
from ..rules import first_fault, name_key
from .asks import asked
from .door import NATIVE
from .draft import Draft, Findings, Json
from .mcp import read_server
from .sources import read_source

Split = Literal["cards", "skills"]

_NAMED = 5  # agents of a note
_TOLD = 5  # refusals of a file


@dataclass(frozen=True, slots=True)
class Imported:
    """What was made of sources.

    Attributes:
        agents: in the order of the sources.
        formats: how many agents came in each format.
        notes: what is worth knowing, one line each.
        refused: why the rest is no agent, one line each, with file, place and remedy; of a file
            the first few.
        refusals: how many there are.
    """

    agents: tuple[Agent, ...]
    formats: dict[str, int]
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    refusals: int = 0


def read_agents(
    sources: Iterable[str | Path],
    *,
    split: Split = "cards",
    namespace: str | None = None,
    require: Collection[str] = (),
) -> Imported:
    """Read agents from files and folders of any known format. Nothing is fetched.

    Args:
        sources: files or folders.
        split: an agent a card, or one for each of its skills (of a server, each of its tools).
        namespace: put before each name, so that names of several sources do not clash; where
            empty, who offers the agent, else its file; None leaves names as they are.
        require: permissions that a caller needs for each agent. What foreign files say of
            permissions is not taken over.
    """
    found = Findings()
    for source in sources:
        try:
            read_source(Path(source), found)
        except InputError as error:
            found.refused.append(str(error))
    return _imported(found, split, namespace, require)


def agents_of_servers(
    servers: Iterable[tuple[Json, list[dict[str, Any]]]],
    where: str,
    split: Split = "cards",
    require: Collection[str] = (),
) -> tuple[Agent, ...]:
    """Return the agents of MCP servers.

    Args:
        servers: the ``server.json`` of each, and its tools as ``tools/list`` says them.
        where: their place, for messages.
        split: an agent a server, or one for each of its tools.
        require: permissions that a caller needs for each agent.

    Raises:
        InputError: a server is no agent, or two have one name.
    """
    found = Findings()
    for server, tools in servers:
        place = f"{where}: {one_line(str(server.get('name')))[:100]}"
        found.drafts.append(read_server(server, tools, place))
    made = _imported(found, split, None, require)
    if made.refused:
        raise InputError(made.refused[0])
    return made.agents


def _imported(
    found: Findings, split: Split, namespace: str | None, require: Collection[str]
) -> Imported:
    drafts = list(found.drafts)
    if split == "skills":
        drafts = [part for draft in drafts for part in draft.parts or (draft,)]
    if namespace is not None:
        drafts = [_namespaced(draft, namespace) for draft in drafts]
    made = _without_copies(_agents(drafts, frozenset(require), found), found)
    made = _without_clashes(made, found)
    found.notes += _notes_on_permissions(made, bool(require))
    return Imported(
        agents=tuple(agent for _, agent in made),
        formats=dict(Counter(draft.format for draft, _ in made)),
        notes=tuple(found.notes),
        refused=tuple(_shortened(found.refused)),
        refusals=len(found.refused),
    )


_Made = list[tuple[Draft, Agent]]


def _namespaced(draft: Draft, namespace: str) -> Draft:
    """Return the draft under a name that says whose it is."""
    path = PurePath(draft.where.partition(": ")[0])
    own = draft.namespace or (path.parent.name if _is_common(path) else path.stem)
    if not isinstance(draft.fields, dict) or not isinstance(draft.fields.get("name"), str):
        return draft
    name = f"{namespace or own}/{draft.fields['name']}"
    return replace(draft, fields={**draft.fields, "name": name})


def _is_common(path: PurePath) -> bool:
    """Tell whether many files are called like this one, so that its folder says more."""
    return path.stem.casefold() in ("skill", "agent", "agents", "server", "tools", "agent-card")


def _agents(drafts: Sequence[Draft], require: frozenset[str], found: Findings) -> _Made:
    made = []
    for draft in drafts:
        fields = draft.fields
        if draft.format != NATIVE:
            draft = _asking(draft)
            imported = {"format": draft.format, "original": draft.original}
            fields = {**fields, "imported": imported, "required_permissions": sorted(require)}
        try:
            agent = Agent.model_validate(fields)
        except ValidationError as error:
            found.refused.append(f"{draft.where}: {first_fault(error)}")
            continue
        if draft.format == NATIVE and require:
            held = agent.required_permissions | require
            agent = agent.model_copy(update={"required_permissions": held})
        made.append((draft, agent))
    return made


def _asking(draft: Draft) -> Draft:
    """Return a foreign draft with what its original asks for, wherever that stands."""
    found = asked(draft.original)
    return replace(draft, asks=", ".join(filter(None, (found, draft.asks)))) if found else draft


def _without_copies(made: _Made, found: Findings) -> _Made:
    """Leave out agents that say exactly what one before them says, originals included."""
    kept: _Made = []
    first: dict[str, Draft] = {}
    for draft, agent in made:
        # A copy among our own agents is a clash like any other: somebody wrote it by hand.
        same = draft if draft.format == NATIVE else first.setdefault(agent.digest(), draft)
        if same is draft:
            kept.append((draft, agent))
        else:
            found.notes.append(f"{draft.where}: the same as {same.where}: imported once")
    return kept


def _without_clashes(made: _Made, found: Findings) -> _Made:
    """Leave out all agents whose name another one has: which is right, a person decides."""
    owners: dict[str, list[Draft]] = {}
    for draft, agent in made:
        owners.setdefault(name_key(agent.name), []).append(draft)
    kept: _Made = []
    told: set[str] = set()
    for draft, agent in made:
        key = name_key(agent.name)
        same = owners[key]
        if len(same) == 1:
            kept.append((draft, agent))
        elif key not in told:
            told.add(key)
            found.refused.append(_clash(same))
    return kept


def _clash(same: Sequence[Draft]) -> str:
    one, other, *more = same
    also = f" and {len(more)} more" if more else ""
    name, first = (f"{draft.fields['name']!r:.120}" for draft in (other, one))
    names = name if name == first else f"{first} and {name}: they look the same"
    return (
        f"{other.where}: two agents are named {names} (the other: {one.where}{also}): "
        "rename one of them, or import with --namespace"
    )


def _shortened(refused: Iterable[str]) -> list[str]:
    """Return what is refused; of a file that may hold no agents at all, the first few."""
    seen: Counter[str] = Counter()
    kept = []
    for line in refused:
        file = line.partition(": ")[0]
        seen[file] += 1
        if seen[file] <= _TOLD:
            kept.append(line)
    more = ((file, count - _TOLD) for file, count in seen.items() if count > _TOLD)
    return [*kept, *(f"{file}: {count} more are refused" for file, count in more)]


def _notes_on_permissions(made: _Made, required: bool) -> list[str]:
    asking = [f"{agent.name!r} ({draft.asks:.80})" for draft, agent in made if draft.asks]
    notes = []
    if asking:
        more = f" and {len(asking) - _NAMED} more" if len(asking) > _NAMED else ""
        remedy = "" if required else "; --require NAME says what a caller needs"
        notes.append(
            f"{len(asking)} agents ask for permissions in words of their own, which are not taken "
            f"over: {', '.join(asking[:_NAMED])}{more}{remedy}"
        )
    return notes
