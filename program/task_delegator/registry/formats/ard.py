"""Catalogues of ARD (``ai-catalog.json``): an entry is an agent, or a catalogue again."""

from typing import Any

from ...errors import InputError
from .draft import Draft, Findings, Json, name_of, objects_in, text_of, texts_in

FORMAT = "ard"
A2A_CARD = "application/a2a-agent-card+json"
MCP_CARD = "application/mcp-server-card+json"
CATALOG = "application/ai-catalog+json"
_NO_AGENTS = {CATALOG, "application/ai-registry+json"}
_LEVELS = 10  # of catalogues in catalogues


def is_catalog(value: Json) -> bool:
    """Tell whether an object is a catalogue."""
    entries = value.get("entries")
    return isinstance(entries, list) and ("specVersion" in value or "host" in value)


def read_catalog(catalog: Json, where: str, found: Findings, levels: int = _LEVELS) -> None:
    """Read the entries of a catalogue; nothing is fetched from the addresses it names.

    Raises:
        InputError: its entries are no objects.
    """
    if levels == 0:
        raise InputError(f"{where}: more than {_LEVELS} catalogues in one another: flatten them")
    host = catalog.get("host")
    named = text_of(host, "displayName", f"{where}: host") if isinstance(host, dict) else ""
    for number, entry in enumerate(objects_in(catalog, "entries", where)):
        place = f"{where}: entry {number}"
        try:
            _read_entry(entry, place, " ".join(named.split()), found, levels)
        except InputError as error:
            found.refused.append(str(error))


def _read_entry(entry: Json, where: str, host: str, found: Findings, levels: int) -> None:
    kind = media_type(entry)
    data = entry.get("data")
    if kind == CATALOG and isinstance(data, dict):
        read_catalog(data, where, found, levels - 1)
    elif kind in _NO_AGENTS:
        found.notes.append(f"{where}: {kind} names agents elsewhere: fetch and import it")
    else:
        found.drafts.append(read_entry(entry, where, host))


def media_type(entry: Json) -> str:
    """Return the media type of an entry, which the two dialects name differently."""
    said = entry.get("type") or entry.get("mediaType")
    return said if isinstance(said, str) else ""


def read_entry(entry: Json, where: str, host: str) -> Draft:
    """Return the agent of an entry: what the entry says goes before what it holds.

    Raises:
        InputError: it has no name, or a field has another type.
    """
    key = "displayName" if entry.get("displayName") else "identifier"
    name = name_of(entry, key, where)
    inner = _artifact(entry, where)
    told = dict(inner.fields) if inner else {}
    fields: dict[str, Any] = {
        "domain": host,
        **told,
        "name": name,
        "description": text_of(entry, "description", where) or told.get("description", ""),
    }
    tools, queries = told.get("tools"), texts_in(entry, "representativeQueries", where)
    fields["tools"] = tools or list(texts_in(entry, "capabilities", where))
    samples = (*queries, *told.get("user_request_samples", ()))
    fields["user_request_samples"] = list(dict.fromkeys(samples))
    return Draft(
        format=FORMAT,
        where=where,
        fields=fields,
        original=dict(entry),
        namespace=host,
        parts=inner.parts if inner else (),
        asks=inner.asks if inner else "",
    )


def _artifact(entry: Json, where: str) -> Draft | None:
    """Return what an entry holds itself; None where it only says where that is."""
    from .a2a import read_card, require_card
    from .mcp import is_server, read_server

    data = entry.get("data")
    if data is None:
        return None
    inside = f"{where}: data"
    if media_type(entry) == A2A_CARD:
        return read_card(require_card(data, inside), inside)
    if isinstance(data, dict) and is_server(data):
        return read_server(data, None, inside)
    return None
