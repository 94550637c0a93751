"""What a foreign file wants a caller to hold: found wherever it stands, never taken over."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from ...text import printable
from ..rules import field_words

_MOST = 10  # that are told of an agent
_CHARACTERS = 80
# What the tool is given is described there, and no field of it is one of the file.
_SCHEMAS = {"inputSchema", "input_schema", "outputSchema", "output_schema", "parameters"}
_SCHEMES = {"security", "securityRequirements", "securitySchemes", "authentication"}
_WORDS = {
    *("scope", "scopes", "security", "auth", "oauth", "authentication"),
    *("authorization", "authorizations", "authorisation", "authorisations"),
}
_OPEN = {"noauth", "none"}  # types of schemes that ask for nothing


def asked(value: Any) -> str:
    """Return what a file asks for, in a few words parted by commas; empty where it does not.

    Args:
        value: what the file says of an agent, as JSON.
    """
    names = (printable(name)[:_CHARACTERS] for name in _asks(value, ""))
    return ", ".join(islice(dict.fromkeys(names), _MOST))


def _asks(value: Any, holder: str) -> Iterator[str]:
    """Yield the names of schemes, of headers and of keys that say what a caller must hold."""
    if isinstance(value, list):
        for item in value:
            yield from _asks(item, holder)
    elif isinstance(value, dict):
        name = value.get("name")
        if holder == "headers" and isinstance(name, str) and _is_secret(name, value):
            yield name
        for key, held in value.items():
            if _means_a_right(str(key)[:_CHARACTERS]):
                yield from _named(str(key), held)
            elif key not in _SCHEMAS:
                yield from _asks(held, str(key))


def _is_secret(name: str, header: dict[str, Any]) -> bool:
    return header.get("isSecret") is True or _means_a_right(name[:_CHARACTERS])


@lru_cache(maxsize=10_000)
def _means_a_right(key: str) -> bool:
    words = field_words(key)
    return any("permission" in word or word in _WORDS for word in words)


def _named(key: str, held: Any) -> Iterator[str]:
    """Yield the schemes that a key of A2A names, else the key itself; nothing of an empty one."""
    if not held:
        return
    if key not in _SCHEMES or not isinstance(held, list | dict):
        yield key
        return
    for one in held if isinstance(held, list) else [held]:
        if not isinstance(one, dict):
            yield str(one)
        elif isinstance(kind := one.get("type"), str):
            yield from () if kind.casefold() in _OPEN else (kind,)
        else:  # of 0.2 the names are a list, of 1.0 they stand one level lower
            schemes = one.get("schemes", one)
            yield from map(str, schemes if isinstance(schemes, list | dict) else ())
