"""Cut a task where clauses meet or at the items of a list, and read the words that link them.

A clause may end at a full stop, a line, a number of a list, a word of sequence, or where "and" or
a comma is followed by a verb that asks. Whatever the text, it is read in linear time: a run of
blanks is looked at from its start alone.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, islice, pairwise

MAX_CLAUSES = 6  # every run of clauses is retrieved: at most 21 looks, some 12 ms each
MAX_ITEMS = 6  # of a list: each is a look, and a delegation
MAX_PHRASE_CUTS = 3  # at an "and" between phrases: two looks each
_FEWEST_WORDS = 3  # shorter clauses join their neighbour
_FEWEST_ITEMS = 2
_MOST_OF_THANKS = 3  # words
_FEWEST_OF_PHRASE = 2  # "a joke", not the "chips" of "fish and chips"

_VERB = (
    r"(?:please|could|can|we|i|they|she|he|also|need|add|announce|answer|apply|arrange|ask|"
    r"book|build|cancel|change|check|close|collect|compare|confirm|create|delete|deliver|"
    r"design|document|download|draft|drop|enroll|explain|extend|find|fix|get|give|"
    r"handle|install|invite|keep|let|look|make|move|name|open|organi[sz]e|pay|pick|plan|"
    r"post|prepare|produce|publish|put|record|register|remind|remove|renew|repair|replace|"
    r"reserve|reset|review|run|say|schedule|send|set|show|sort|start|submit|summari[sz]e|"
    r"swap|take|tell|top up|translate|turn|unlock|update|upload|withdraw|work|write)\b"
)
# "my bin was not emptied", of "..., and my bin was not emptied": it asks by what it says.
_STATED = (
    r"(?:the|my|our|this|that|these|those|there|it)\s+"
    r"(?:(?!that\b|which\b|who\b|where\b)\S{1,30}\s+){0,3}?"
    r"(?:is|are|was|were|has|have|had|will|does|do|did|(?:is|are|was|were|has|have|wo|does|do|did)n't)\b"
)
_NUMBER, _BULLET = r"\d+[.)]", r"[-*\u2022]"  # that mark the items of a list
_SEQUENCE = r"(?:and then|then|after that|afterwards|once (?:that|this|it)|when (?:that|this|it))\b"
_RUN = r"(?<!\s)\s+"  # from anywhere within a run, a search would be quadratic in its length
_BOUNDARY = re.compile(
    rf"(?<=[.!?;:])(?<!^\d\.)(?<!\s\d\.)\s+|\n+|\s(?=\d[.)]\s)"
    rf"|(?<!\band){_RUN}(?=(?:and )?(?:{_SEQUENCE}|also\b|plus\b))"
    rf"|(?<=,)\s+(?=(?:and\s+)?{_VERB})|{_RUN}(?=and\s+{_VERB})"
    rf"|(?<=,)\s+(?=and\s+{_STATED})",
    re.IGNORECASE | re.MULTILINE,
)
_LINK = re.compile(
    rf"^(?:and\s+|also\s+|plus\s+|{_SEQUENCE}[\s,]+|{_NUMBER}\s*|{_BULLET}\s+)+|,$", re.IGNORECASE
)
_ITEM = re.compile(rf"({_NUMBER}|{_BULLET})\s+(?=\S)")  # a thing of its own, however short
_JOINT = re.compile(rf"(?:,\s+|{_RUN})(?:and(?:\s+also)?|as\s+well\s+as|plus)\s+", re.IGNORECASE)
_HEAD = re.compile(r"(?:\S+\s+){0,2}\S+(?=\s+(?:an?|the|my|our|some)\s)", re.IGNORECASE)
_NOUN_PHRASE = re.compile(r"(?:an?|the|my|our|some)\s", re.IGNORECASE)
_END_OF_CLAUSE = re.compile(r"(?<=[.!?;:,])\s+|\n+")
_STATEMENT = re.compile(_STATED, re.IGNORECASE)
_ITEM_LINE = re.compile(rf"^\s*{_ITEM.pattern}", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?;]\s")
_AFTER = re.compile(rf"^(?:and\s+)?{_SEQUENCE}", re.IGNORECASE)
_AND = re.compile(r"and\b", re.IGNORECASE)
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
        short = min(more, words) < _FEWEST_WORDS and not (_ITEM.match(piece) and words)
        if joined and (short or len(joined) == MAX_CLAUSES):
            joined[-1].append(piece)
            words += more
        else:
            joined.append([piece])
            words = more
    return [" ".join(pieces) for pieces in joined] or [task]


def items(task: str) -> tuple[str, tuple[str, ...]]:
    """Return what stands before a list of things to do, and its items; no items of another task.

    A list has lines that are marked alike or numbered from 1 on, a clause before them at most, and
    no more behind them than a word of thanks. What is indented further belongs to the item above.
    A number or a dash elsewhere is part of a text, and so is each in a longer list.
    """
    lines = [line.rstrip() for line in task.splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if _ITEM_LINE.match(line)), len(lines))
    head, depth = lines[:first], _depth(lines[first]) if first < len(lines) else 0
    found: list[list[str]] = []
    for place, line in enumerate(lines[first:], first):
        mark = _ITEM_LINE.match(line)
        if mark and _depth(line) == depth and _marked_next(mark[1], found, lines[first]):
            found.append([line[mark.end() :]])
        elif found and (_depth(line) > depth or _is_thanks(lines[place:])):
            found[-1].append(line.strip())
        else:
            return "", ()
    told = all(has_word(without_link(item[0])) for item in found)
    clause = "".join(head)
    if len(head) > 1 or len(clauses(clause)) > 1 or _SENTENCE.search(clause) or not told:
        return "", ()
    if not _FEWEST_ITEMS <= len(found) <= MAX_ITEMS:
        return "", ()
    return clause.strip(), tuple("\n".join(item) for item in found)


def _marked_next(mark: str, found: Sequence[object], first: str) -> bool:
    """Tell whether a mark follows those of the items that were found: alike, or one more."""
    if not mark[0].isdigit():
        return first.lstrip()[0] == mark
    return mark[:-1] == str(len(found) + 1) and first.lstrip()[1] == mark[-1]


def _is_thanks(lines: Sequence[str]) -> bool:
    return sum(len(line.split()) for line in lines) <= _MOST_OF_THANKS


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def phrase_cuts(task: str) -> list[tuple[str, str]]:
    """Return every way to cut a task in two at an "and", the first few.

    "book a flight and a hotel" is "book a flight" and "book a hotel": the second part takes the
    words before the first noun phrase where it opens with one, and says nothing of it.
    """
    found = []
    for joint in islice(_JOINT.finditer(task), MAX_PHRASE_CUTS):
        left, right = task[: joint.start()].strip(), task[joint.end() :].strip()
        if min(len(left.split()), len(right.split())) >= _FEWEST_OF_PHRASE:
            takes = _NOUN_PHRASE.match(right) and not _STATEMENT.match(right)
            clause = _END_OF_CLAUSE.split(left)[-1]
            head = _HEAD.match(clause) if takes and not _NOUN_PHRASE.match(clause) else None
            found.append((left, f"{head[0]} {right}" if head else right))
    return found


def has_word(text: str) -> bool:
    """Tell whether a text has a letter or a digit."""
    return re.search(r"\w", text) is not None


def has_joint(task: str) -> bool:
    """Tell whether a task may ask for several things: it holds a list, an "and" or the like."""
    return bool(_CUE.search(task) or _JOINT.search(task) or _ITEM_LINE.search(task))


def cuts(pieces: Sequence[str], parts: int) -> Iterator[tuple[str, ...]]:
    """Return every way to join neighbouring pieces into so many parts."""
    for inner in combinations(range(1, len(pieces)), parts - 1):
        ends = (0, *inner, len(pieces))
        yield tuple(" ".join(pieces[a:b]) for a, b in pairwise(ends))


def without_link(clause: str) -> str:
    """Return a clause without the words that link it to the one before, and its last comma."""
    return _LINK.sub("", clause)


def adds(clause: str) -> bool:
    """Tell whether a clause opens with "and": what it asks for comes on top."""
    return _AND.match(clause) is not None


def follows(clause: str) -> bool:
    """Tell whether a clause opens with a word of sequence: it waits for the one before."""
    return _AFTER.match(clause) is not None


def count_cues(task: str) -> int:
    """Return how many words of sequence or addition a task holds."""
    return len(_CUE.findall(task))
