"""Find and strip mentions of agents' names in a task.

Neither may pass for a part of the prompt, and naming an agent is no way to get it.
"""

import re
from collections.abc import Iterable

from .sanitize import plain

_WORD = re.compile(r"\w+")


class AgentMentions:
    """Names of agents, to be stripped from untrusted text.

    Args:
        names: those of several words with capitals within ("Refund Desk") are found in any
            case, others as they are written.
    """

    def __init__(self, names: Iterable[str]) -> None:
        longest = sorted(names, key=lambda name: (-len(name), name))
        self._names = [(name, plain(name), plain(name).lower()) for name in longest]
        # A name that stands in a text has its first word there: of ten thousand names, a
        # text's words leave a few to look for.
        self._by_word: dict[str, list[int]] = {}
        for place, (_, _, lower) in enumerate(self._names):
            word = _WORD.search(lower)
            self._by_word.setdefault(word[0] if word else "", []).append(place)

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._names)

    def strip_from(self, task: str, subjects: bool = True) -> tuple[str, tuple[str, ...]]:
        """Return a text without the names, and those that it held.

        Args:
            task: any text; where it holds nothing but names, it stays as it is.
            subjects: spare names that may well be what is talked about: those without a
                capital letter ("credit score"), and those that look like the opening of a
                sentence ("Credit score") where they stand there.
        """
        text = left = plain(task)
        lowered = text.lower()
        held = []
        words = {"", *_WORD.findall(lowered)}
        for place in sorted(p for word in words for p in self._by_word.get(word, ())):
            name, shown, lower = self._names[place]
            if lower in lowered and (pattern := _pattern(shown, subjects)):
                found = re.search(pattern, text)
                left = re.sub(pattern, " ", left)
                held += [name] if found else []
        return (left if left.strip(" \n\t.,:;!?\"'()[]-") else text), tuple(held)


def _pattern(name: str, subjects: bool) -> str:
    """Return the pattern of a name, empty where it is spared."""
    spared = name == name.lower() and "_" not in name
    if subjects and spared:
        return ""
    several = len(re.split(r"[\s_]+", name)) > 1
    proper = name[1:] != name[1:].lower()
    case = "(?i)" if not subjects or (several and proper) else ""
    opens = r"(?<!^)(?<![.!?\n]\s)(?<!\n)" if subjects and not proper and "_" not in name else ""
    return rf"{case}{opens}(?<!\w){re.escape(name)}(?!\w)"
