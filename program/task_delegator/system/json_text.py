"""JSON that users give: one place that reads it, and one line for whatever is wrong with it."""

import json
from typing import Any

from ..errors import InputError

MOST_LEVELS = 100  # levels; pydantic writes 255, Python's own recursion ends near 1,000


def parse_json(text: str, where: str) -> Any:
    """Return the value of a JSON text.

    Args:
        text: the JSON text, without a byte order mark.
        where: its place, for messages.

    Raises:
        InputError: it is no JSON, an object has a key twice, a number is too long, or it is
            nested too deeply.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except _TwiceError as error:
        raise InputError(
            f"{where}: broken JSON: an object has the key {error.key!r} twice: remove one of them"
        ) from error
    except RecursionError as error:
        raise too_deep(where) from error
    except ValueError as error:  # Python refuses to read integers of thousands of digits
        raise InputError(f"{where}: broken JSON: a number has too many digits") from error
    if _is_deeper(value, MOST_LEVELS):
        raise too_deep(where)
    return value


def repeated_key(text: str | bytes) -> str | None:
    """Return a key that an object of a JSON text has twice, None where none has.

    Nor where it is no JSON: whoever reads it says what is wrong.
    """
    try:
        # Numbers stay as written: other readers have no limit on their digits.
        json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except _TwiceError as error:
        return error.key
    except (ValueError, RecursionError):
        pass
    return None


class _TwiceError(Exception):
    """Report a key that an object has twice."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        raise _TwiceError(next(key for key, _ in pairs if key in seen or seen.add(key)))
    return values


def _is_deeper(value: Any, levels: int) -> bool:
    """Tell whether lists and objects are nested deeper than so many levels."""
    level = [value]
    for _ in range(levels + 1):
        level = [
            inner
            for held in level
            if isinstance(held, dict | list)
            for inner in (held.values() if isinstance(held, dict) else held)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def too_deep(where: str, language: str = "JSON") -> InputError:
    """Return the error of lists and objects that are nested too deeply to be written again."""
    too = f"nested deeper than {MOST_LEVELS} levels"
    return InputError(f"{where}: broken {language}: {too}: flatten it")
