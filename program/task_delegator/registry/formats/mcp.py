"""Servers of MCP: ``server.json``, an answer of a registry, ``tools/list``."""

from dataclasses import replace
from typing import Any

from .draft import Draft, Json, cleaned, name_of, objects_in, skill_name, text_of

FORMAT = "mcp"
_META = "io.modelcontextprotocol.registry/publisher-provided"


def is_server(value: Json) -> bool:
    """Tell whether an object is a ``server.json``, or such an object in a registry's answer."""
    server = _server(value)
    schema = server.get("$schema")
    if isinstance(schema, str) and schema.endswith("server.schema.json"):
        return True
    marked = any(isinstance(server.get(key), list) for key in ("packages", "remotes"))
    return marked and isinstance(server.get("name"), str)


def is_tool(value: Json) -> bool:
    """Tell whether an object is a tool of ``tools/list``, or one of Anthropic's."""
    shapes = ("inputSchema", "input_schema", "arguments")
    return isinstance(value.get("name"), str) and any(shape in value for shape in shapes)


def tools_in(value: Any, where: str) -> list[dict[str, Any]] | None:
    """Return the tools of a ``tools/list`` answer or a list of tools; None where it is none.

    Raises:
        InputError: one of them is no object.
    """
    if isinstance(value, dict) and isinstance(value.get("result"), dict):
        value = value["result"]
    if isinstance(value, list):
        value = {"tools": value}
    if not isinstance(value, dict) or not isinstance(value.get("tools"), list):
        return None
    return objects_in(value, "tools", where)


def read_server(server: Json, tools: list[dict[str, Any]] | None, where: str) -> Draft:
    """Return the agent of a server, its tools as parts.

    Args:
        server: the ``server.json``.
        tools: what ``tools/list`` says, where that is known from elsewhere.
        where: its place, for messages.

    Raises:
        InputError: name or tools are missing or of another type.
    """
    said = _server(server)
    title = "title" if said.get("title") else "name"
    owner = name_of(said, "name", where).rpartition("/")[0]
    return draft_of(
        name=name_of(said, title, where),
        description=text_of(said, "description", where),
        domain=owner,
        tools=_own_tools(server, where) if tools is None else tools,
        original=dict(server),
        format_=FORMAT,
        where=where,
    )


def draft_of(
    *,
    name: str,
    description: str,
    domain: str,
    tools: list[dict[str, Any]],
    original: dict[str, Any],
    format_: str,
    where: str,
) -> Draft:
    """Return the agent of a server with its tools; the original holds both."""
    parts = tuple(
        replace(
            read_tool(tool, f"{where}: tool {number}", name, domain),
            format=format_,
            original={"server": original, "tools": [tool]},
        )
        for number, tool in enumerate(tools)
    )
    deleting = [str(part.fields["tools"][0]["name"]) for part in parts if part.asks]
    return Draft(
        format=format_,
        where=where,
        fields={
            "name": name,
            "description": description,
            "domain": domain,
            "tools": [part.fields["tools"][0] for part in parts],
        },
        original={"server": original, "tools": tools} if tools else original,
        namespace=domain,
        parts=parts,
        asks=f"destructive tools: {', '.join(deleting[:5])}" if deleting else "",
    )


def read_tool(tool: Json, where: str, owner: str = "", domain: str = "") -> Draft:
    """Return the agent of one tool.

    Args:
        tool: the tool.
        where: its place, for messages.
        owner: the server's name; empty for a tool without a server.
        domain: of the agent.

    Raises:
        InputError: it has no name.
    """
    name = name_of(tool, "name", where)
    description = text_of(tool, "description", where) or text_of(tool, "title", where)
    hints = tool.get("annotations")
    deletes = isinstance(hints, dict) and hints.get("destructiveHint") is True
    return Draft(
        format=FORMAT,
        where=where,
        fields={
            "name": skill_name(owner, name) if owner else name,
            "description": description,
            "domain": domain,
            "tools": [{"name": name, "description": description}],
        },
        original=dict(tool),
        namespace=domain,
        asks="a destructive tool" if deletes else "",
    )


def _server(value: Json) -> Json:
    inner = value.get("server")
    return inner if isinstance(inner, dict) else value


def _own_tools(value: Json, where: str) -> list[dict[str, Any]]:
    """Return the tools that stand beside a server, or that its publisher put into ``_meta``."""
    if "server" in value and "tools" in value:
        return objects_in(value, "tools", where)
    meta = _server(value).get("_meta")
    published = meta.get(_META) if isinstance(meta, dict) else None
    for holder in (published, *_values(published)):
        if isinstance(holder, dict) and isinstance(holder.get("tools"), list):
            named = [{"name": t} if isinstance(t, str) else t for t in holder["tools"]]
            return objects_in({"tools": named}, "tools", f"{where}: _meta")
    return []


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def category_of(meta: Any) -> str:
    """Return the category that a server is filed under; empty where there is none."""
    said = meta.get("category") if isinstance(meta, dict) else None
    return " ".join(cleaned(said).split()) if isinstance(said, str) else ""
