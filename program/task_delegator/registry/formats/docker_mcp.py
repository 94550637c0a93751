"""Servers of Docker's MCP registry: ``server.yaml`` with ``tools.json``."""

from typing import Any

from .draft import Draft, Json, name_of, text_of
from .mcp import category_of, draft_of

FORMAT = "docker-mcp"


def is_entry(value: Json) -> bool:
    """Tell whether an object is an entry of Docker's registry."""
    kind = value.get("type")
    return isinstance(value.get("about"), dict) and ("image" in value or kind in _KINDS)


_KINDS = ("server", "remote", "poci")


def read_entry(entry: Json, tools: list[dict[str, Any]] | None, where: str) -> Draft:
    """Return the agent of an entry, its tools as parts.

    Raises:
        InputError: it has no name, or a tool has none.
    """
    about = entry["about"]
    named = (about, "title", f"{where}: about") if about.get("title") else (entry, "name", where)
    return draft_of(
        name=name_of(*named),
        description=text_of(about, "description", f"{where}: about"),
        domain=category_of(entry.get("meta")),
        tools=tools or [],
        original=dict(entry),
        format_=FORMAT,
        where=where,
    )
