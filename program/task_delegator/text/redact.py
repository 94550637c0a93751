"""Redact error messages from outside: no key, no prompt, no escape sequence.

Providers put into their error messages what they were sent: the key, the task, the whole prompt.
"""

import html
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

from .credentials import HIDDEN, SECRET_NAME, without_user
from .sanitize import printable, with_few_marks

_T = TypeVar("_T")

MOST_CHARACTERS = 200  # of a description: one line of a log
_MOST_READ = 4000  # characters of a message; the rest is an echo or a page
_ECHO = 12  # characters in a row that a message shares with the prompt
_KEY_PART = 8  # characters in a row that it shares with a key
_CREDENTIAL = re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]+|\bsk-[\w-]{6,}", re.IGNORECASE)
_TERMINAL = re.compile(  # CSI and OSC sequences of terminals
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
)
_HUGE_REFERENCE = re.compile(r"&#[0-9]{8,};?")  # of no character; Python reads no such number
_ESCAPED = re.compile(
    r"(?<!\\)\\+(?:u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8})|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})"
    r"|([0-3][0-7]{2})|([nrtbf])|([\"'/]))"
)
_MOST_ESCAPES = 8  # of a text that was escaped again and again, one way or the other


def describe_error(
    error: BaseException, prompt: Iterable[str] = (), secrets: Iterable[str] = ()
) -> str:
    """Return an error on one line of at most ``MOST_CHARACTERS`` characters, fit to be shown.

    The line holds the error's type, provider and HTTP status, and of the first line of its
    message what is neither a control character nor shares 12 characters in a row with the prompt
    or 8 with a secret. Case, punctuation and the usual ways to escape text make no difference.

    Args:
        error: what a provider, its SDK or DSPy raised.
        prompt: every text that was sent.
        secrets: keys; values of environment variables that are named like keys are added.
    """
    where = [str(part) for part in (_attribute(error, "provider", str), _status(error)) if part]
    head = type(error).__name__ + (f" ({', '.join(where)})" if where else "")
    message = _attribute(error, "message", str) or str(error)
    said = redact(message, prompt, secrets)
    return shown_safely(f"{head}: {said}" if said else head, MOST_CHARACTERS)


def redact(message: str, prompt: Iterable[str] = (), secrets: Iterable[str] = ()) -> str:
    """Return a message's first line without what it shares with the prompt or with secrets."""
    lines = _TERMINAL.sub(" ", message.strip()[:_MOST_READ]).splitlines()
    line = without_user(_unescaped(lines[0] if lines else ""))
    hidden = {at for match in _CREDENTIAL.finditer(line) for at in range(*match.span())}
    known = [value for name, value in os.environ.items() if SECRET_NAME.search(name)]
    for texts, length in ((prompt, _ECHO), ((*secrets, *known), _KEY_PART)):
        variants = [form for text in texts for form in (_one_line(text), _unescaped(text))]
        for letters_only in (False, True):
            hidden |= _shared(line, variants, length, letters_only=letters_only)
    shown = "".join(HIDDEN if at in hidden else char for at, char in enumerate(line))
    shown = re.sub(rf"{HIDDEN}(?:\s*{HIDDEN})*", HIDDEN, shown)
    return shown if any(char.isalnum() for char in shown) else ""


def shown_safely(text: str, most: int) -> str:
    """Return a text fit for print, without passwords of addresses, in so many characters."""
    line = printable(without_user(text)).strip()
    return line if len(line) <= most else line[: most - 1] + HIDDEN


def strings_in(value: Any) -> Iterator[str]:
    """Yield every string in a value of lists and mappings, their keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for part in value.values() for text in strings_in(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in strings_in(part))


def _shared(line: str, texts: Iterable[str], length: int, *, letters_only: bool) -> set[int]:
    """Return the places of a line that lie in a run of so many characters of one of the texts."""
    places = [at for at, char in enumerate(_lowered(line)) if char.isalnum() or not letters_only]
    folded = _folded(line, letters_only=letters_only)
    runs: dict[str, list[int]] = {}  # of the line: it is short, the texts may not be
    for at in range(len(folded) - length + 1):
        runs.setdefault(folded[at : at + length], []).append(at)
    found = set()
    for text in texts:
        said = _folded(text, letters_only=letters_only)
        found |= runs.keys() & {said[at : at + length] for at in range(len(said) - length + 1)}
    return {
        place
        for run in found
        for at in runs[run]
        for place in range(places[at], places[at + length - 1] + 1)
    }


def _folded(text: str, *, letters_only: bool) -> str:
    """Return the characters of a text that are compared."""
    low = _lowered(text)
    return "".join(filter(str.isalnum, low)) if letters_only else low


def _lowered(text: str) -> str:
    """Return a text in lower case, a character for each."""
    if text.isascii():
        return text.lower()
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


def _unescaped(text: str) -> str:
    """Return a text as it was before JSON, a URL or HTML escaped it, in plain letters, on one line.

    However often and in whatever order they did; wide and ornate letters become those they show.
    """
    for _ in range(_MOST_ESCAPES):
        before = text
        text = html.unescape(_HUGE_REFERENCE.sub(" ", unquote(_ESCAPED.sub(_character, text))))
        if text == before:
            break
    return _one_line(unicodedata.normalize("NFKC", with_few_marks(text)))


def _character(match: re.Match[str]) -> str:
    hexadecimal, octal = match[1] or match[2] or match[3] or match[4], match[5]
    if octal:
        return chr(int(octal, 8))
    code = int(hexadecimal, 16) if hexadecimal else 0
    return chr(code) if 0 < code <= sys.maxunicode else match[7] or " "


def _one_line(text: str) -> str:
    """Return a text on one line, without control, format and unassigned characters."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    spaced = (" " if char.isspace() else char for char in text)
    shown = "".join(char for char in spaced if unicodedata.category(char)[0] != "C")
    return " ".join(shown.split())


def _status(error: BaseException) -> str:
    for name in ("status", "status_code"):
        status = _attribute(error, name, int)
        if status is not None:
            return f"HTTP {status}"
    return ""


def _attribute(error: BaseException, name: str, kind: type[_T]) -> _T | None:
    value = getattr(error, name, None)
    return value if isinstance(value, kind) else None
