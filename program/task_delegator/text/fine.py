"""What an English text says is fine, or not so, before it says what is.

"The flight is fine, but ...", "The goods aren't damaged, they just ...". Such a clause may be what
the task is about ("the hotel is fine, but the dates are wrong") or no part of it, so it is read,
and the text without it is compared. The time grows linearly.
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
_NOT_SO = re.compile(
    r"(?:^|(?<=[.!?;]\s))"
    r"(?=[^.!?;,\n]{0,80}(?:n['\u2019]t\b|\b(?:never|no(?:body|ne|t|thing)?|no\s+one)\b))"
    r"[^.!?;,\n]{3,120}[,;.]\s+(?:but\s+)?"
    r"(?=(?:(?:i|we|he|she|they|it|this|that|all)(?:'s)?\s+(?:(?:am|are|has|have|is|was|were)\s+)?)?"
    r"(?:just|merely|only|simply)\b)",
    re.IGNORECASE,
)


def without_fine(text: str) -> str | None:
    """Return a text without its first clause that says something is fine, or not so.

    Args:
        text: a task.

    Returns:
        None where it has no such clause, or hardly more than it.
    """
    found = _FINE.search(text)
    if found is not None and _NOT_SAID.search(found[0]):
        return None
    found = found or _NOT_SO.search(text)
    if found is None:
        return None
    left = f"{text[: found.start()]}{text[found.end() :]}".strip()
    return left if len(left.split()) >= _FEWEST_WORDS else None
