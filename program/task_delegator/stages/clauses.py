"""Cut a task where clauses meet, and read the words that link them.

A clause may end at a full stop, a line, a number of a list, a word of sequence, or where "and" or
a comma is followed by a verb that asks. Whatever the text, it is read in linear time: a run of
blanks is looked at from its start alone.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

MAX_CLAUSES = 6  # every run of clauses is retrieved: at most 21 looks, some 12 ms each
_FEWEST_WORDS = 4  # shorter clauses join their neighbour

_VERB = (
    r"(?:please|could|can|we|i|they|she|he|also|need|add|announce|answer|ask|book|build|cancel|"
    r"change|check|close|collect|compare|confirm|create|design|document|draft|explain|find|fix|"
    r"get|give|handle|invite|keep|let|look|make|move|name|open|organi[sz]e|plan|post|prepare|"
    r"produce|publish|put|record|remind|review|run|say|schedule|send|set|show|sort|start|"
    r"summari[sz]e|tell|translate|turn|update|work|write)\b"
)
_SEQUENCE = r"(?:and then|then|after that|afterwards|once (?:that|this|it)|when (?:that|this|it))\b"
_RUN = r"(?<!\s)\s+"  # from anywhere within a run, a search would be quadratic in its length
_BOUNDARY = re.compile(
    rf"(?<=[.!?;:])\s+|\n+|\s(?=\d[.)]\s)|{_RUN}(?={_SEQUENCE}|and also\b|also\b|plus\b)"
    rf"|(?<=,)\s+(?=(?:and\s+)?{_VERB})|{_RUN}(?=and\s+{_VERB})",
    re.IGNORECASE,
)
_LINK = re.compile(rf"^(?:and\s+|also\s+|plus\s+|{_SEQUENCE}[\s,]+|\d[.)]\s*)+|,$", re.IGNORECASE)
_AFTER = re.compile(rf"^(?:and\s+)?{_SEQUENCE}", re.IGNORECASE)
_CUE = re.compile(
    r"\b(?:then|also|after that|afterwards|plus|as well|in addition|once (?:that|it)"
    r"|second(?:ly)?|both|too)\b|(?:^|\s)\d[.)]\s",
    re.IGNORECASE,
)


def clauses(task: str) -> list[str]:
    """Return the clauses of a task, in order, with the words that link them."""
    joined: list[list[str]] = []
    words = 0  # of the last clause
    for piece in filter(None, (piece.strip() for piece in _BOUNDARY.split(task))):
        more = len(piece.split())
        if joined and (min(more, words) < _FEWEST_WORDS or len(joined) == MAX_CLAUSES):
            joined[-1].append(piece)
            words += more
        else:
            joined.append([piece])
            words = more
    return [" ".join(pieces) for pieces in joined] or [task]


def cuts(pieces: Sequence[str], parts: int) -> Iterator[tuple[str, ...]]:
    """Return every way to join neighbouring pieces into so many parts."""
    for inner in combinations(range(1, len(pieces)), parts - 1):
        ends = (0, *inner, len(pieces))
        yield tuple(" ".join(pieces[a:b]) for a, b in pairwise(ends))


def without_link(clause: str) -> str:
    """Return a clause without the words that link it to the one before, and its last comma."""
    return _LINK.sub("", clause)


def follows(clause: str) -> bool:
    """Tell whether a clause opens with a word of sequence: it waits for the one before."""
    return _AFTER.match(clause) is not None


def count_cues(task: str) -> int:
    """Return how many words of sequence or addition a task holds."""
    return len(_CUE.findall(task))
