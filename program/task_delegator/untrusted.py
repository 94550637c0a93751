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
    bare = re.sub(r"\]{2,}", "]", re.sub(r"\[{2,}", "[", plain(text)))
    return " ".join(bare.split())


def without_names(task: str, names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Return the task without the names of agents, and the names that it held.

    A name of several words is found in any case, with spaces for its underscores too; another
    only as it is written. A plain lower-case word is no name but a subject, and so is a
    capital word that opens a sentence. A task of nothing but names stays as it is.
    """
    text = left = plain(task)
    lowered = text.lower().replace("_", " ")
    held = []
    for name in sorted(names, key=lambda name: (-len(name), name)):
        if plain(name).lower().replace("_", " ") in lowered and (pattern := _pattern(plain(name))):
            found = re.search(pattern, text)
            left = re.sub(pattern, " ", left)
            held += [name] if found else []
    return (left if left.strip(" \n\t.,:;!?\"'()[]-") else text), tuple(held)


def _pattern(name: str) -> str:
    """Return the pattern of a name, empty where it is a plain word."""
    words = re.split(r"[\s_]+", name.strip(" _"))
    if len(words) > 1:
        return rf"(?i)(?<!\w){r'[ _]+'.join(map(re.escape, words))}(?!\w)"
    if name.isalpha() and name == name.lower():
        return ""
    opens = "" if name[1:] != name[1:].lower() else r"(?<!^)(?<![.!?\n]\s)(?<!\n)"
    return rf"{opens}(?<!\w){re.escape(name)}(?!\w)"
