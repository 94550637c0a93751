"""Markdown with front matter: ``SKILL.md``, ``*.agent.md`` and agents of assistants."""

import re
from pathlib import PurePath
from typing import Any

from ...errors import InputError
from .asks import asked
from .draft import Draft, Json, cleaned, name_of, text_of
from .yaml_text import parse_yaml

FORMAT = "markdown"
_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_USE = re.compile(r"use (?:this|it|when|whenever|for|if|proactively)\b", re.IGNORECASE)
_DO_NOT_USE = re.compile(r"(?:do not|don't|never) use\b|not for\b|skip\b", re.IGNORECASE)
_ENDINGS = (".agent.md", ".chatmode.md", ".prompt.md", ".md", ".markdown")


def has_front_matter(text: str) -> bool:
    """Tell whether a text begins with front matter."""
    return _FRONT.match(text) is not None


def read_markdown(text: str, path: PurePath) -> Draft:
    """Return the agent of a file: front matter says what it is for, the body how it works.

    A sentence of the description that says when to use the agent, or when not, is moved to
    ``use_when`` or ``do_not_use_when``: what is no business of an agent must not find it.

    Raises:
        InputError: it has no front matter, or that is no YAML.
    """
    where = str(path)
    front = _FRONT.match(text)
    if front is None:
        raise InputError(f"{where}: no front matter: begin with --- and name, description, ---")
    head = _mapping(front[1], where)
    if "name" not in head:
        head = {**head, "name": _file_name(path)}
    kept, use, do_not_use = _sentences(text_of(head, "description", where))
    fields: dict[str, Any] = {
        "name": name_of(head, "name", where),
        "description": kept,
        "use_when": use,
        "do_not_use_when": do_not_use,
        "instructions": cleaned(text[front.end() :]),
        "tools": _tools(head.get("tools"), where),
        "domain": _category(head),
    }
    return Draft(format=FORMAT, where=where, fields=fields, original=front[0], asks=asked(head))


def _mapping(text: str, where: str) -> Json:
    documents = parse_yaml(text, f"{where}: front matter")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise InputError(f"{where}: front matter: expected keys and values, such as name: ...")
    return documents[0]


def _file_name(path: PurePath) -> str:
    """Return what a file is called, or its folder where every such file is called the same."""
    if path.name.casefold() in ("skill.md", "agent.md"):
        return path.parent.name
    ending = next((e for e in _ENDINGS if path.name.casefold().endswith(e)), "")
    return path.name[: len(path.name) - len(ending)]


def _sentences(description: str) -> tuple[str, str, str]:
    """Return what a description says: of the agent, of its use, of what is not its use."""
    kept: list[str] = []
    use: list[str] = []
    do_not_use: list[str] = []
    for sentence in _SENTENCE.split(description):
        bare = sentence.lstrip("-* ")
        side = do_not_use if _DO_NOT_USE.match(bare) else use if _USE.match(bare) else kept
        side.append(sentence)
    if not kept:  # all that it says is when to use it
        return " ".join(use), "", " ".join(do_not_use)
    return " ".join(kept), " ".join(use), " ".join(do_not_use)


def _tools(said: Any, where: str) -> list[str]:
    """Return the names of tools: a list, names parted by commas, or switches."""
    if isinstance(said, str):
        said = said.split(",")
    if isinstance(said, dict):
        said = [name for name, on in said.items() if on is not False]
    if said is None:
        return []
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise InputError(f"{where}: tools: expected names, as a list or parted by commas")
    names = (" ".join(cleaned(name).split()) for name in said)
    return list(dict.fromkeys(name for name in names if name.strip("*")))


def _category(head: Json) -> str:
    meta = head.get("metadata")
    for holder in (head, meta if isinstance(meta, dict) else {}):
        if isinstance(said := holder.get("category"), str):
            return " ".join(cleaned(said).split())
    return ""
