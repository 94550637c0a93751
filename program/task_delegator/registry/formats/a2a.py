"""Agent cards of A2A, versions 0.2 to 1.0: one agent a card, or one a skill."""

from typing import Any

from ...errors import InputError
from ..agents import Agent
from .draft import Draft, Json, cleaned_all, name_of, objects_in, skill_name, text_of, texts_in

FORMAT = "a2a"
# What we say of an agent that a card has no field for; ``catalogs`` writes it.
EXTENSION = "urn:task-delegator:agent:1"
_MARKS = {
    "protocolVersion",
    "supportedInterfaces",
    "preferredTransport",
    "additionalInterfaces",
    "defaultInputModes",
    "capabilities",
    "url",
}


def is_card(value: Json) -> bool:
    """Tell whether an object is an agent card."""
    return isinstance(value.get("skills"), list) and not _MARKS.isdisjoint(value)


def read_card(card: Json, where: str) -> Draft:
    """Return the agent of a card, its skills as parts.

    Raises:
        InputError: name or skills are missing or of another type.
    """
    name = name_of(card, "name", where)
    skills = objects_in(card, "skills", where)
    read = [_read_skill(skill, f"{where}: skill {n}") for n, skill in enumerate(skills)]
    description = text_of(card, "description", where)
    fields: dict[str, Any] = {
        "name": name,
        "description": description,
        "tools": [_tool(said, description) for said in read],
        "user_request_samples": list(dict.fromkeys(e for said in read for e in said["examples"])),
        "domain": _provider(card, where),
    }
    ours, guarded = _ours(card)
    asks = "permissions" if guarded else ""
    shared = {"format": FORMAT, "namespace": fields["domain"], "asks": asks}
    parts = tuple(
        Draft(
            where=f"{where}: skill {number}",
            fields={
                "name": skill_name(name, said["name"]),
                "description": said["description"],
                "user_request_samples": said["examples"],
                "domain": fields["domain"],
            },
            original={**card, "skills": [skill]},
            **shared,
        )
        for number, (skill, said) in enumerate(zip(skills, read, strict=True))
    )
    return Draft(where=where, fields={**fields, **ours}, original=dict(card), parts=parts, **shared)


def _read_skill(skill: Json, where: str) -> dict[str, Any]:
    """Return name, description and examples of a skill."""
    key = "name" if skill.get("name") else "id"
    return {
        "name": name_of(skill, key, where),
        "description": text_of(skill, "description", where),
        "examples": list(texts_in(skill, "examples", where)),
    }


def _tool(said: Json, description: str) -> dict[str, str]:
    """Return a skill as a tool; what the card says already is not said again."""
    own = "" if said["description"] == description else said["description"]
    return {"name": said["name"], "description": own}


def _provider(card: Json, where: str) -> str:
    provider = card.get("provider")
    if not isinstance(provider, dict):
        return ""
    return " ".join(text_of(provider, "organization", f"{where}: provider").split())


def extension_of(card: Json) -> Json | None:
    """Return our own extension of a card, None where it has none."""
    capabilities = card.get("capabilities")
    listed = capabilities.get("extensions") if isinstance(capabilities, dict) else None
    for extension in listed if isinstance(listed, list) else ():
        if isinstance(extension, dict) and extension.get("uri") == EXTENSION:
            params = extension.get("params")
            return params if isinstance(params, dict) else {}
    return None


def _ours(card: Json) -> tuple[dict[str, Any], bool]:
    """Return the fields of our own extension, and whether the agent needed permissions."""
    params = extension_of(card)
    if params is None:
        return {}, False
    known = {
        key: cleaned_all(params[key])
        for key in Agent.model_fields
        if key in params and key not in ("name", "required_permissions", "instructions")
    }
    return known, params.get("guarded") is True


def require_card(value: Any, where: str) -> Json:
    """Return a value that must be a card.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, dict) or not isinstance(value.get("skills"), list):
        raise InputError(f"{where}: expected an agent card with skills")
    return value
