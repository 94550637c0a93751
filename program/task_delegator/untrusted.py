"""Text that others wrote: tasks and what agents say of themselves.

Neither may pass for a part of the prompt, and naming an agent is no way to get it.
"""

import re
import unicodedata
from collections.abc import Iterable


def plain(text: str) -> str:
    """Return the text in compatibility form (NFKC), without invisible format characters."""
    composed = unicodedata.normalize("NFKC", text)
    return "".join(c for c in composed if unicodedata.category(c) != "Cf")


def one_line(text: str) -> str:
    """Return the text on one line, without the marks that set the prompt's fields apart."""
    return " ".join(plain(text).replace("[[", "[").replace("]]", "]").split())


def without_names(task: str, names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Return the task without the names of agents, and the names that it held.

    A name of several words is found in any case, another only as it is written, and not at
    all where it is a plain lower-case word: that is no name but a subject. A task of nothing
    but names stays as it is.
    """
    text = plain(task)
    lowered = text.lower()
    held = tuple(
        name
        for name in names
        if name.lower() in lowered and _pattern(name) and re.search(_pattern(name), text)
    )
    left = text
    for name in sorted(held, key=len, reverse=True):
        left = re.sub(_pattern(name), " ", left)
    return (left if left.strip(" \n\t.,:;!?\"'()[]-") else text), held


def _pattern(name: str) -> str:
    """Return the pattern of a name, empty where it is a plain word."""
    if name.isalpha() and name == name.lower():
        return ""
    case = "(?i)" if " " in name.strip() else ""
    return rf"{case}(?<!\w){re.escape(name)}(?!\w)"
