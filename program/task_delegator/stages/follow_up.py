"""A task that refers to earlier turns ("and the other one?"): when, and how it is read."""

import re
from collections.abc import Sequence

from ..settings import MAX_TASK_CHARACTERS
from ..text import longest_form, plain

# Words that stand for something said before stand in long tasks too, but there for what they say
# themselves. Chosen on the validation half of datasets/probes/follow_ups.jsonl and on the
# validation requests, of which two thirds hold such a word.
_MOST_WORDS = 14
# At so much certainty (confidence times in-scope score) a task is read alone. Chosen likewise.
FITS_ALONE = 0.85
_TURNS = 3  # earlier tasks that are read at most
_FEW_WORDS = 4  # that seldom say all of a task
# Words that stand for something said before, or that go on from it.
_REFERS = re.compile(
    r"^(?:and|or|but|also|actually|no|yes|sorry|now|then|what about|how about|any|wait|ok)\b"
    r"|\b(?:it|its|that|this|these|those|them|they|their|he|she|him|his|her|same|other|others|"
    r"one|ones|again|another|too|as well|both|former|latter|first thing|instead|i meant)\b"
)
# A task of these alone ends a conversation, where it has one of the last line.
_ALL_SAID = re.compile(
    r"\b(?:that(?:'s| is| was) (?:all|it)|nothing else|have a (?:good|great|nice) day"
    r"|for (?:now|today|everything|(?:the|your) help))\b"
)
_CLOSING = frozenset(
    re.findall(
        r"\w+",
        "a all alright and done good great lot many much nice no now ok okay perfect so very yes "
        "you",
    )
)
_ENDS = frozenset({"bye", "cheers", "goodbye", "thank", "thanks"})


def refers_back(task: str) -> bool:
    """Tell whether a task may refer to an earlier one; the words are English."""
    said = _folded(task)
    if _closes(said):
        return False
    words = len(said.split())
    return words <= _FEW_WORDS or (words <= _MOST_WORDS and _REFERS.search(said) is not None)


def _folded(text: str) -> str:
    return " ".join(plain(text).casefold().split())


def _closes(said: str) -> bool:
    """Tell whether a task asks for nothing: it thanks, or says goodbye."""
    words = set(re.findall(r"\w+", _ALL_SAID.sub("", said)))
    return words <= _CLOSING | _ENDS and not words.isdisjoint(_ENDS)


def with_earlier(task: str, history: Sequence[str]) -> str:
    """Return a task behind the earlier one that it goes on from.

    Where that refers back as well, the one before it is read too, three at most. Together they
    keep to the limit of a task, when each ligature is written out.

    Args:
        task: the task as it was given.
        history: the earlier tasks of the same conversation, oldest first.
    """
    said = [task]
    asked = [turn for turn in history[-_TURNS:] if not _closes(_folded(turn))]
    for turn in reversed(asked):
        said.insert(0, turn.strip())
        if not refers_back(turn):
            break
    text = " ".join(filter(None, said))
    if longest_form(text) > MAX_TASK_CHARACTERS:
        text = plain(text)
    return text[-MAX_TASK_CHARACTERS:].strip()
