"""What an English text says is fine, before it says what is not: "the flight is fine, but ...".

Such a clause may be what the task is about ("the hotel is fine, but the dates are wrong") or no
part of it, so it is read, and the text without it is compared. The time grows linearly.
"""

import re

_FEWEST_WORDS = 3  # that are left and may say what should be done
# Words of a clause that says something else: a condition, a denial, what shall be checked.
_NOT_SAID = re.compile(
    r"\b(?:check|confirm|ensure|explain\w*|how|if|make|never|no|nobody|not|nothing|once|sure|that|"
    r"unless|until|verify|when|whether|why)\b|n't",
    re.IGNORECASE,
)
_FINE = re.compile(
    r"(?:^|(?<=[.!?;]\s))[^.!?;\n]{3,120}?\b"
    r"(?:(?:is|are|was|were|looks?)\s+(?:all\s+|already\s+|now\s+)?"
    r"(?:booked|correct|done|fine|good|great|okay|ok|perfect|right|sorted)"
    r"(?:\s+(?:again|already|now))?"
    r"|works?(?:\s+(?:again|fine|now|well))?)"
    r"\s*(?:[,;.]\s+)?(?:but|however)\b[,\s]+",
    re.IGNORECASE,
)


def without_fine(text: str) -> str | None:
    """Return a text without its first clause that says something is fine; None where it has none.

    Args:
        text: a task.
    """
    found = _FINE.search(text)
    if found is None or _NOT_SAID.search(found[0]):
        return None
    left = f"{text[: found.start()]}{text[found.end() :]}".strip()
    return left if len(left.split()) >= _FEWEST_WORDS else None
