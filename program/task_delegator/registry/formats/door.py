"""The door: which format a JSON value has, and who reads it."""

from collections.abc import Callable
from typing import Any

from ...errors import InputError
from . import a2a, ard, docker_mcp, mcp, openai_tools
from .draft import Draft, Findings, Json, check_count, cleaned_all

NATIVE = "agent"
# Fields that nobody else's objects have: whoever writes them writes an agent of ours.
_OWN = {
    "instructions",
    "user_request_samples",
    "use_when",
    "do_not_use_when",
    "required_permissions",
    "imported",
}
_LITERAL = {"required_permissions", "imported"}  # kept to the letter, as rights are compared
_Reader = Callable[[dict[str, Any], str, Findings], None]


def _one(read: Callable[[Json, str], Draft]) -> _Reader:
    return lambda value, where, found: found.drafts.append(read(value, where))


# The first that claims a value reads it.
FORMATS: dict[str, tuple[Callable[[Json], bool], _Reader]] = {
    ard.FORMAT: (ard.is_catalog, ard.read_catalog),
    a2a.FORMAT: (a2a.is_card, _one(a2a.read_card)),
    docker_mcp.FORMAT: (
        docker_mcp.is_entry,
        _one(lambda value, where: docker_mcp.read_entry(value, None, where)),
    ),
    mcp.FORMAT: (
        mcp.is_server,
        _one(lambda value, where: mcp.read_server(value, None, where)),
    ),
    openai_tools.FORMAT: (openai_tools.is_tool, openai_tools.read_tool),
    "mcp tool": (mcp.is_tool, _one(mcp.read_tool)),
}


def read_value(value: Any, where: str, found: Findings) -> None:
    """Read what a file holds: an object of some format, a list of them, or a holder of a list.

    Raises:
        InputError: no format is recognized, or there are too many.
    """
    listed = _listed(value)
    if listed is not None:
        check_count(listed, "agents", where)
        for number, item in enumerate(listed):
            _read_item(item, f"{where}: agent {number}", found)
        return
    if not isinstance(value, dict) or (reader := _reader(value)) is None:
        if not (isinstance(value, dict) and _is_agent(value)):
            raise InputError(
                f"{where}: expected a JSON list of agents, or a card, catalogue, server or tool; "
                f"got {_shown(value)}"
            )
        found.drafts.append(_native(value, where))
        return
    reader(value, where, found)


def read_row(row: Any, where: str, found: Findings) -> None:
    """Read one line of a file of lines, or one document."""
    if isinstance(row, list):
        read_value(row, where, found)
    else:
        _read_item(row, where, found)


def _read_item(item: Any, where: str, found: Findings) -> None:
    reader = _reader(item) if isinstance(item, dict) else None
    try:
        if reader is not None:
            reader(item, where, found)
        else:
            found.drafts.append(_native(item, where))
    except InputError as error:
        found.refused.append(str(error))


def _reader(value: Json) -> _Reader | None:
    if not _OWN.isdisjoint(value):
        return None
    return next((read for claims, read in FORMATS.values() if claims(value)), None)


def _native(value: Any, where: str) -> Draft:
    """Return an agent of ours, its texts cleaned where others may have written it.

    An object of another format that has a field of ours may be an agent of ours with fields of
    its own: as a card it would lose its permissions, and be open to everybody. They limit only.
    """
    if isinstance(value, dict) and any(claims(value) for claims, _ in FORMATS.values()):
        value = {k: held if k in _LITERAL else cleaned_all(held) for k, held in value.items()}
    return Draft(NATIVE, where, value)


def _listed(value: Any) -> list[Any] | None:
    """Return the items of a list, or of an answer that holds one; None where it is one object."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or "name" in value:
        return None
    if isinstance(value.get("result"), dict):  # JSON-RPC
        return _listed(value["result"])
    return next((value[k] for k in ("tools", "servers") if isinstance(value.get(k), list)), None)


def _is_agent(value: Json) -> bool:
    """Tell whether an object that stands alone is an agent of ours; many things have a name."""
    own = not _OWN.isdisjoint(value) or set(value) == {"name", "description"}
    return "name" in value and own


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object with " + (", ".join(map(repr, list(value)[:5])) or "no fields")
    return type(value).__name__
