"""Tools of OpenAI, in both APIs: a function is an agent, a namespace is one with its functions."""

import re
from typing import Any

from .draft import Draft, Findings, Json, name_of, objects_in, text_of

FORMAT = "openai"
_OURS = ("function", "custom", "namespace")
_HOSTED = re.compile(
    "(?:tool_search|web_search|file_search|code_interpreter|code_execution|computer|bash|mcp|"
    "image_generation|local_shell|shell|apply_patch|text_editor)(?:_[a-z0-9_]+)?"
)


def is_tool(value: Json) -> bool:
    """Tell whether an object is a tool of OpenAI."""
    kind = value.get("type")
    if kind == "namespace":
        return isinstance(value.get("tools"), list)
    return kind in _OURS or is_hosted(value)


def is_hosted(value: Json) -> bool:
    """Tell whether an object turns on what the provider itself does."""
    kind = value.get("type")
    return isinstance(kind, str) and "description" not in value and bool(_HOSTED.fullmatch(kind))


def read_tool(tool: Json, where: str, found: Findings) -> None:
    """Read a function, a namespace or a hosted tool, which is no agent.

    Raises:
        InputError: it has no name.
    """
    if is_hosted(tool):
        found.notes.append(f"{where}: {tool['type']} is done by the provider: no agent")
    elif tool.get("type") == "namespace":
        found.drafts.append(_namespace(tool, where, found))
    else:
        found.drafts.append(_function(tool, where, ""))


def _namespace(tool: Json, where: str, found: Findings) -> Draft:
    name = name_of(tool, "name", where)
    held = objects_in(tool, "tools", where)
    parts = []
    for number, inner in enumerate(held):
        place = f"{where}: tool {number}"
        if is_hosted(inner):
            found.notes.append(f"{place}: {inner['type']} is done by the provider: no agent")
        else:
            parts.append(_function(inner, place, name))
    return Draft(
        format=FORMAT,
        where=where,
        fields={
            "name": name,
            "description": text_of(tool, "description", where),
            "domain": name,
            "tools": [part.fields["tools"][0] for part in parts],
        },
        original=dict(tool),
        parts=tuple(parts),
    )


def _function(tool: Json, where: str, namespace: str) -> Draft:
    inner = tool.get("function")
    said: Json = inner if isinstance(inner, dict) else tool
    name, description = name_of(said, "name", where), text_of(said, "description", where)
    fields: dict[str, Any] = {
        "name": f"{namespace}.{name}" if namespace else name,
        "description": description,
        "domain": namespace,
        "tools": [{"name": name, "description": description}],
    }
    return Draft(format=FORMAT, where=where, fields=fields, original=dict(tool))
