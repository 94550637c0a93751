"""What a foreign file says of an agent, before it is one; how its values are read."""

import re
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError
from ...text import printable

Json = Mapping[str, Any]

MOST = 100_000  # agents of a file, or values of a list: seconds; more takes minutes
_LINES = re.compile(r"\r\n?|[\n\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Draft:
    """An agent as a file describes it.

    Attributes:
        format: the file's format, a key of ``FORMATS``; ``agent`` for our own fields.
        where: file and place, for messages.
        fields: values of an agent's fields.
        original: what the file says, unchanged; None for our own fields.
        namespace: who offers it, as its own text says; empty where it does not.
        parts: its skills or tools as agents of their own, for ``split``.
        asks: what it wants a caller to hold, in a few words; never taken over.
    """

    format: str
    where: str
    fields: Json
    original: Any = None
    namespace: str = ""
    parts: tuple["Draft", ...] = ()
    asks: str = ""


@dataclass(slots=True)
class Findings:
    """What is found while sources are read; filled in place.

    Attributes:
        drafts: what becomes an agent.
        notes: what is left out on purpose, one line each.
        refused: what cannot be read, one line each.
    """

    drafts: list[Draft] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def text_of(values: Json, key: str, where: str) -> str:
    """Return a text of an object, fit to be shown; empty where there is none.

    Raises:
        InputError: it is no text.
    """
    value = values.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}: {key}: expected a text, got {type(value).__name__}")
    return cleaned(value)


def name_of(values: Json, key: str, where: str) -> str:
    """Return the name of an object, on one line.

    Raises:
        InputError: it has none.
    """
    name = " ".join(text_of(values, key, where).split())
    if not name:
        raise InputError(f"{where}: {key} is missing or empty: name it")
    return name


def texts_in(values: Json, key: str, where: str) -> tuple[str, ...]:
    """Return a list of texts of an object, each once; empty where there is none.

    Raises:
        InputError: it is no list of texts.
    """
    value = values.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{where}: {key}: expected a list of texts")
    check_count(value, key, where)
    return tuple(dict.fromkeys(filter(str.strip, map(cleaned, value))))


def objects_in(values: Json, key: str, where: str) -> list[dict[str, Any]]:
    """Return a list of objects of an object; empty where there is none.

    Raises:
        InputError: it is no list of objects.
    """
    value = values.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{where}: {key}: expected a list of objects")
    check_count(value, key, where)
    return value


def check_count(values: Sized, what: str, where: str) -> None:
    """Check that values are not more than can be read in seconds.

    Raises:
        InputError: they are.
    """
    if len(values) > MOST:
        raise InputError(f"{where}: has more than {MOST:,} {what}: split it into several files")


def cleaned(text: str) -> str:
    """Return a text without control, direction and invisible characters; its lines stay."""
    return "\n".join(printable(line) for line in _LINES.split(text)).strip()


def cleaned_all(value: Any) -> Any:
    """Return a JSON value whose texts are cleaned; the keys of its objects stay."""
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, list):
        return [cleaned_all(item) for item in value]
    if isinstance(value, dict):
        return {key: cleaned_all(held) for key, held in value.items()}
    return value


def skill_name(owner: str, name: str) -> str:
    """Return the name of a skill or tool that is an agent of its own."""
    return f"{owner}: {name}"
