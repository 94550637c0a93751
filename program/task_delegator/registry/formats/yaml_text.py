"""YAML as others write it, read as the JSON it could be: no tags, no aliases, no dates."""

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml

from ...errors import InputError
from ...system import MOST_LEVELS, too_deep

if TYPE_CHECKING:
    from yaml import SafeLoader as _SafeLoader
else:  # the library's C parser, where it was built
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_CHARACTERS = 2_000_000
_EVENTS = 400_000  # of the parser: a text is one, a list or an object two; three seconds
_PLAIN = "tag:yaml.org,2002:"


class _Loader(_SafeLoader):
    """The core schema of YAML 1.2: ``no`` and ``2026-01-01`` are texts."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (how the library is extended)

    def flatten_mapping(self, node: Any) -> None:
        """Read a merge key as a key like any other; aliases, which it needs, are refused."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping of texts; two of the same key are refused."""
        values: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if key_node.id != "scalar":
                raise yaml.MarkedYAMLError(
                    problem="a key is no text", problem_mark=key_node.start_mark
                )
            if key_node.value in values:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key_node.value!r:.80} stands twice: remove one of them",
                    problem_mark=key_node.start_mark,
                )
            values[key_node.value] = self.construct_object(value_node, deep=deep)
        return values


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]{1,18}", list("-+0123456789")),
    ("float", r"[-+]?[0-9]{1,18}\.[0-9]{0,18}(?:[eE][-+]?[0-9]{1,2})?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(_PLAIN + _tag, re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor(_PLAIN + "int", lambda loader, node: int(node.value))
_Loader.add_constructor(_PLAIN + "map", _Loader.construct_mapping)
for _made in ("binary", "set", "omap", "pairs", "timestamp"):
    _Loader.add_constructor(_PLAIN + _made, yaml.SafeLoader.construct_undefined)


def parse_yaml(text: str, where: str) -> list[Any]:
    """Return the documents of a YAML text as JSON values.

    Raises:
        InputError: it is no YAML, has tags, aliases or a key twice, is too long, has too many
            values or is nested too deeply.
    """
    if len(text) > _CHARACTERS:
        raise InputError(f"{where}: has {len(text):,} characters: split it, or convert it to JSON")
    try:
        depth = 0  # counted before the library's parser, which recurses without a limit
        for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
            if number > _EVENTS:
                raise InputError(
                    f"{where}: has more than {_EVENTS:,} keys and values (a list or an object "
                    "counts twice): split it, or convert it to JSON"
                )
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_LEVELS:
                raise too_deep(where, "YAML")
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1
                raise InputError(
                    f"{where}: broken YAML at line {line}: aliases (*{event.anchor:.80}) are not "
                    "read: write out what it stands for"
                )
        return list(yaml.load_all(text, Loader=_Loader))  # safe: derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{where}: broken YAML{at}: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where}: broken YAML: {error}") from error
