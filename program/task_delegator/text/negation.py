"""Parts of an English text that say what is *not* wanted: they are no evidence for an agent.

A cue opens such a part, and it reaches to the end of its clause, never beyond its sentence. What
does not work ("my card was not accepted") is what a task is about: a verb is taken as negated only
where somebody says what he wants ("I don't want", "don't book") or talks about ("this isn't
about"), and so is what was had in the place of another ("ten pounds instead of the thirty").
The time grows linearly with the text.
"""

import re
from bisect import bisect_left
from itertools import pairwise

_FEWEST_WORDS = 2  # of substance that must be left, else the whole text is read
_WORD = re.compile(r"\w[\w'-]*")
_LINK_WORDS = frozenset(
    _WORD.findall(
        "a an and at but for from here hi i in instead it just me my need no of ok on only or our "
        "please so thanks the then this to today uh us want we with yes you"
    )
)
_OPENS = r"(?:^|(?<=[,;:.!?(]\s)|(?<=\bso\s)|(?<=\bplease\s))"
_NOT = r"(?:\s+not|n't)"
_SPEAKER = r"\b(?:i|we|you|they)"
_THING = r"\b(?:this|it|that|these)"
_DETERMINER = (
    r"(?:an?|the(?!\s+(?:correct|expected|full|right|same|whole)\b)|my|our|your|his|her|their|its|"
    r"any|another|this|that|these|those|about)"
)
_PREPOSITION = r"(?:for|from|with|by|via|in|on|as)"
# "ordered in May, never came": what happened, where "never book" says what shall not.
_PAST = (
    r"(?:\w+ed|arrives|been|came|comes|could|did|does|gave|goes|got|had|happens|has|heard|left|made|"
    r"met|paid|ran|said|saw|sent|shows|told|took|was|went|were|worked|works)"
)
_CUES = (
    # "Not a finance analysis; create a PRD", "the entry, not a migration guide", "Bicep, not ARM"
    rf"(?P<fragment>(?<![\w'])not(?=\s+{_DETERMINER}\s))",
    # "by mail, not by phone", "Not for me, for a colleague"; no "new laptop, not on the network"
    rf"(?P<contrast>(?<![\w'])not(?=\s+{_PREPOSITION}\s))",
    rf"{_OPENS}not\s+(?!(?:able|all|always|available|enough|even|every|here|just|least|many|merely|"
    r"much|now|only|possible|really|right|simply|so|sure|the|there|to|too|until|very|yet|"
    r"\w+ed|\w+ing)\b)",
    # "don't book me a flight", "no need to transfer", "forget the invoice"
    rf"{_OPENS}(?:do\s+not|don't|dont|never(?!\s+{_PAST}\b)|never\s+mind|no\s+need\s+(?:to|for)|"
    r"forget|skip|ignore|leave\s+(?:out|aside)|nothing\s+about)\s+(?!(?:again|been|disturb|fail|"
    r"find|forget|get|got|had|have|hesitate|it|know|let|miss|received?|remember|see|seem|stop|them|understand|work|"
    r"worry)\b)",
    # "we don't need a price", "I'm not asking for a translation", "nobody wants another item"
    rf"(?P<wish>{_SPEAKER}\s+(?:do\s+not|don't|dont|did\s+not|didn't)\s+(?:really\s+|even\s+)?(?:care|"
    r"ask|look\s+for|mean(?!\s+to\b)|need|require|talk\s+about|want(?!\s+(?:any(?:body|one)|it|me|"
    r"my|our|people|some(?:body|one)|them|us)\b))\b"
    r"(?!\s+to\s+(?:be|break|forget|have|loo?se|miss|pay|risk|see|wait)\b))",
    rf"{_SPEAKER}(?:\s+(?:am|are|were)|'m|'re)\s+(?:no\s+longer|not)\s+(?:after|asking|interested|"
    r"looking|on|running|talking|using)\b",
    r"\b(?:nobody|no\s+one)\s+(?:asked|needs|wants|is\s+asking)\b",
    # "this isn't about a broken scanner", "it's no longer a lead", "this is no post"
    rf"{_THING}(?:\s+(?:is|are|was)|'s)?{_NOT}\s+(?:about|for|an?|another)\b",
    rf"{_THING}(?:\s+is|'s)\s+no\s+(?:longer\s+an?\b|(?!better|good|help|idea|longer|problem|use|"
    r"wonder))",
    # "rather than a tutorial", "without touching the newsletter"
    rf"(?:{_OPENS}|\b)(?:rather\s+than|instead\s+of|as\s+opposed\s+to)(?=\s+(?:an?|another)\b)",
    rf"{_OPENS}(?:rather\s+than|instead\s+of|as\s+opposed\s+to|apart\s+from)\b",
    r"\b(?:anything\s+but|has\s+nothing\s+to\s+do\s+with|without\s+(?:asking|bothering|changing|"
    r"including|involving|mentioning|sending|touching|using|writing))\b",
    # "A PRD is not what we need", "the invoice isn't needed"
    r"(?P<behind>(?<!\s)(?<!\bthis)(?<!\bthat)(?<!\bit)(?:\s+(?:is|are)|'s)(?:\s+not|n't)\s+"
    r"(?:needed|necessary|required|wanted|what\s+(?:i|we)\s+(?:need|want)|the\s+point)\b)",
    # "No Terraform here: ...", "no songs please"
    rf"{_OPENS}no\s+(?!doubt|hurry|idea|later|longer|matter|more|one|problem|rush)"
    r"(?=(?:[\w.'-]+\s+){1,5}?(?:here|needed|necessary|please|required|thanks|wanted)\b)",
)
_CUE = re.compile("|".join(_CUES), re.IGNORECASE)
_CONTRAST = re.compile(rf"(?<![\w'])not\s+(?P<preposition>{_PREPOSITION})(?=\s)", re.IGNORECASE)
_PREPOSITIONS = re.compile(rf"\b{_PREPOSITION}\b", re.IGNORECASE)
# Every cue holds one of these, most texts none: they are found in a fiftieth of the time.
_HINTS = (
    *("n't", "dont", "never", "forget", "skip", "ignore", "leave", "rather", "instead", "opposed"),
    *("apart", "anything", "without"),
)
_NO = re.compile(r"\bno")  # "not", "nobody", "nothing"
# Before "not", they make it a verb's ("is not a valid number") or an idiom's ("if not", "why not").
_NO_FRAGMENT = frozenset(
    _WORD.findall(
        "am are be been being but can could did do does had has have if is may might must of or "
        "shall should was were whether why will would still"
    )
)
# "They don't want another story, they want it with figures": the thing is wanted after all.
_SAME_THING = re.compile(r"\W{1,3}(?:but\s|just\s)?(?:\w+\s){1,2}(?:it|one|them)\b", re.IGNORECASE)
# A line goes on in the next one where that opens with a small letter: mails are wrapped.
_SENTENCE_END = re.compile(r"[.!?]\s+|\n(?![a-z])\s*(?:[-*>]\s+)?")
_CLAUSE_END = re.compile(
    r"[;:.!?](?=\s|$)|,(?=\s)|\n(?![a-z])|[()\[\]\"\u201c\u201d]|\s[-\u2013\u2014]+\s|\u2014"
    r"|\s(?=(?:but|just|instead)\b)|\s(?=and\s+(?:instead|just|only|please|then)\b)"
    r"|\s(?=(?:get|give|show|tell)\s+me\b)|\s(?=(?:i|we)\s+(?:need|want)\b)",
    re.IGNORECASE,
)


def negated_spans(text: str) -> list[tuple[int, int]]:
    """Return where a text says what is not wanted: (start, end) of each part, in order."""
    shown = text.replace("\u2019", "'")
    folded = shown.casefold()
    if not (any(hint in folded for hint in _HINTS) or ("no" in folded and _NO.search(folded))):
        return []
    bounds = [0, *(match.end() for match in _SENTENCE_END.finditer(shown)), len(shown)]
    return [
        (first + start, first + end)
        for first, last in pairwise(bounds)
        for start, end in _spans_in(shown[first:last])
    ]


def _spans_in(sentence: str) -> list[tuple[int, int]]:
    breaks = [match.span() for match in _CLAUSE_END.finditer(sentence)]
    ends = [start for start, _ in breaks]
    spans: list[tuple[int, int]] = []
    contrasts: dict[int, bool] = {}  # looked for once
    for cue in _CUE.finditer(sentence):
        fragment = cue["fragment"] or cue["contrast"]
        if fragment and _last_word(sentence, cue.start()) in _NO_FRAGMENT:
            continue
        if cue["contrast"]:
            contrasts = contrasts or _contrasts(sentence)
            if not contrasts[cue.start()]:
                continue
        place = bisect_left(ends, cue.end())
        end = ends[place] if place < len(ends) else len(sentence)
        if cue["wish"] and _SAME_THING.match(sentence, end):
            continue
        start = cue.start()
        if cue["behind"]:
            before = bisect_left(ends, start)
            start = breaks[before - 1][1] if before else 0
        if not spans or start >= spans[-1][1]:
            spans.append((start, end))
    return spans


def without_negated(text: str) -> str:
    """Return a text without what it says is not wanted; whole where hardly anything is left."""
    spans = negated_spans(text)
    if not spans:
        return text
    bounds = [0, *(place for span in spans for place in span), len(text)]
    kept = (text[bounds[i] : bounds[i + 1]].strip() for i in range(0, len(bounds), 2))
    left = " ".join(part for part in kept if part).lstrip(" ,;:.!?")
    words = {word.lower() for word in _WORD.findall(left)} - _LINK_WORDS
    return left if len(words) >= _FEWEST_WORDS else text


def _contrasts(sentence: str) -> dict[int, bool]:
    """Return of each "not" before a preposition whether that stands elsewhere too, by its place.

    Before it, or behind it where the "not" opens the sentence.
    """
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for found in _PREPOSITIONS.finditer(sentence):
        word = found[0].lower()
        first.setdefault(word, found.start())
        last[word] = found.start()
    opens = len(sentence) - len(sentence.lstrip())
    told = {}
    for cue in _CONTRAST.finditer(sentence):
        word, own = cue["preposition"].lower(), cue.start("preposition")
        told[cue.start()] = last[word] > own if cue.start() == opens else first[word] < own
    return told


def _last_word(text: str, end: int) -> str:
    """Return the word before a place, in lower case; empty where a mark stands between."""
    match = re.search(r"(\w[\w']*)\s+$", text[max(end - 20, 0) : end])
    return match[1].lower() if match else ""
