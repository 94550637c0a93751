"""Write a registry as agent cards of A2A, or as a catalogue of ARD."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, count
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from ...errors import InputError
from ..agents import Agent
from ..tool import Tool
from . import a2a, ard, mcp
from .draft import Draft, Json

CatalogFormat = Literal["a2a", "ard"]

_QUERIES = 2, 5  # as many representative queries an entry may have
_MODES = ["text/plain"]
# A reader of cards needs no more of an agent; instructions and permissions are not published.
_PUBLISHED = ("use_when", "do_not_use_when", "kind", "domain")


def catalog(agents: Iterable[Agent], format_: CatalogFormat, url: str) -> Any:
    """Return agents as JSON values: a list of cards, or a catalogue.

    An agent that was imported in that format and has not changed is written as it came.
    Instructions, permissions and unknown fields are left out.

    Args:
        agents: those that whoever reads the catalogue may know of.
        format_: ``a2a`` or ``ard``.
        url: under which agents answer that have no address of their own; the agent's name, as an
            address spells it, is put behind it.

    Raises:
        InputError: the address is none.
    """
    host = urlsplit(url).hostname
    if not url.startswith(("https://", "http://")) or not host:
        raise InputError(
            f"--url {url!r:.200}: expected an address, such as https://agents.acme.com"
        )
    named = _slugs(agents)
    if format_ == "a2a":
        return [_card(agent, f"{url.rstrip('/')}/{slug}") for slug, agent in named]
    return {
        "specVersion": "1.0",
        "host": {"displayName": host},
        "entries": [_entry(agent, url.rstrip("/"), host, slug) for slug, agent in named],
    }


def _slugs(agents: Iterable[Agent]) -> list[tuple[str, Agent]]:
    """Return each agent with its name as an address spells it, each another."""
    taken: set[str] = set()
    found = []
    for agent in agents:
        folded = unicodedata.normalize("NFKD", agent.name).casefold()
        bare = re.sub(r"[^\w.]+", "-", "".join(c for c in folded if not unicodedata.combining(c)))
        slug = bare.strip("-._") or "agent"
        spellings = chain([slug], (f"{slug}-{number}" for number in count(2)))
        unique = next(spelling for spelling in spellings if spelling not in taken)
        taken.add(unique)
        found.append((quote(unique, safe="."), agent))
    return found


def _card(agent: Agent, url: str) -> dict[str, Any]:
    base = _original(agent, a2a.FORMAT) or {}
    if base and _says_the_same(agent, base, a2a.read_card):
        return dict(base)
    card = {
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        ],
        "version": "1.0.0",
        "defaultInputModes": _MODES,
        "defaultOutputModes": _MODES,
    }
    if "url" in base:  # 0.3 has its address there
        del card["supportedInterfaces"]
    held = base.get("capabilities")
    return {
        "name": agent.name,
        "description": agent.description,
        **card,
        **{key: value for key, value in base.items() if key not in ("name", "description")},
        "capabilities": _with_extension(held if isinstance(held, dict) else {}, agent),
        "skills": _skills(agent),
    }


def _with_extension(capabilities: Json, agent: Agent) -> dict[str, Any]:
    """Return capabilities with what a card has no field for."""
    values = agent.to_dict()
    params = {key: values[key] for key in _PUBLISHED} | {"tools": values["tools"]}
    if agent.required_permissions:
        params["guarded"] = True
    held = capabilities.get("extensions")
    others = [e for e in held if _is_foreign(e)] if isinstance(held, list) else []
    ours = {
        "uri": a2a.EXTENSION,
        "description": "What the agent is for, for routers",
        "required": False,
        "params": params,
    }
    return {**capabilities, "extensions": [*others, ours]}


def _is_foreign(extension: Any) -> bool:
    return not isinstance(extension, dict) or extension.get("uri") != a2a.EXTENSION


def _skills(agent: Agent) -> list[dict[str, Any]]:
    """Return the agent itself as its first skill, with its samples, and its tools."""
    tags = [agent.domain] if agent.domain else []
    skills = [
        {
            "id": "agent",
            "name": agent.name,
            "description": agent.description or agent.name,
            "tags": tags,
            "examples": list(agent.user_request_samples),
        }
    ]
    for number, tool in enumerate(agent.tools, 1):
        name, description = _said(tool)
        said = {"name": name, "description": description or name, "tags": tags}
        skills.append({"id": f"tool-{number}", **said})
    return skills


def _entry(agent: Agent, url: str, host: str, slug: str) -> dict[str, Any]:
    base = _original(agent, ard.FORMAT) or {}
    if base and _says_the_same(agent, base, lambda entry, where: ard.read_entry(entry, where, "")):
        return dict(base)
    server = _server(agent)
    kind, data = (ard.MCP_CARD, server) if server else (ard.A2A_CARD, _card(agent, f"{url}/{slug}"))
    return catalog_entry(
        agent, base.get("identifier") or f"urn:air:{host}:agent:{slug}", kind, data
    )


def _server(agent: Agent) -> dict[str, Any] | None:
    """Return the MCP server that an agent came as, None where it came as something else.

    Of one that has changed, name, description and tools are what the agent says now. What stands
    in it as a value, such as that of an environment variable, is left out, as is ``_meta``.
    """
    came = _original(agent, mcp.FORMAT) or {}
    inner: Json = came
    while isinstance(held := inner.get("server"), dict):
        inner = held
    if not mcp.is_server(inner):
        return None
    if inner is not came and inner is not came["server"]:  # an answer of a registry, with its tools
        came = {"server": inner, "tools": came.get("tools", [])}
    told: list[Draft] = []
    with suppress(InputError):  # it was edited by hand
        server = mcp.read_server(came, None, agent.name)
        told = [server, *server.parts]
    if any(_tells_the_same(agent, draft.fields) for draft in told):
        return dict(came)
    written = {key: _without_values(value) for key, value in inner.items() if key != "_meta"}
    written |= {"title": agent.name, "description": agent.description}
    described = {_said(Tool(d.fields["tools"][0])): d.original["tools"][0] for d in told[1:]}
    tools = [
        described.get(said, {"name": said[0], "description": said[1]})
        for said in map(_said, agent.tools)
    ]
    return {"server": written, "tools": tools} if tools else written


def _tells_the_same(agent: Agent, fields: Json) -> bool:
    """Tell whether an agent has the name, description and tools of a server, or of its tool."""
    tools = agent.to_dict()["tools"]
    said = agent.name, agent.description, tools
    return said == (fields["name"], fields["description"], fields["tools"])


def _without_values(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_values(item) for item in value]
    if isinstance(value, dict):
        return {k: _without_values(v) for k, v in value.items() if k not in ("value", "default")}
    return value


def _said(tool: Tool | str) -> tuple[str, str]:
    return (tool.name, tool.description) if isinstance(tool, Tool) else (tool, "")


def catalog_entry(agent: Agent, identifier: str, kind: str, data: Json) -> dict[str, Any]:
    """Return an agent as an entry of a catalogue; a field that it has nothing for is left out.

    Args:
        agent: whom the entry is about.
        identifier: a URN of ``air``.
        kind: the media type of what the entry holds.
        data: what it holds.
    """
    samples = agent.user_request_samples[: _QUERIES[1]]
    entry = {
        "identifier": identifier,
        "displayName": agent.name,
        "type": kind,
        "data": data,
        "description": agent.description,
        "tags": [agent.domain] if agent.domain else [],
        "representativeQueries": list(samples) if len(samples) >= _QUERIES[0] else [],
    }
    return {key: value for key, value in entry.items() if value not in ("", [])}


def _original(agent: Agent, format_: str) -> dict[str, Any] | None:
    """Return what an agent came as, where it came in this format."""
    imported = (agent.model_extra or {}).get("imported")
    if not isinstance(imported, dict) or imported.get("format") != format_:
        return None
    original = imported.get("original")
    return original if isinstance(original, dict) else None


def _says_the_same(agent: Agent, original: Json, read: Callable[[Json, str], Draft]) -> bool:
    """Tell whether an agent still says what it came with."""
    try:
        fields = read(original, agent.name).fields
    except InputError:  # it was edited by hand
        return False
    again = Agent.model_validate({"domain": agent.domain, **fields}).to_dict()
    now = agent.to_dict()
    left_out = ("imported", "required_permissions", "domain", "instructions")
    return all(now.get(key) == again[key] for key in again if key not in left_out)
