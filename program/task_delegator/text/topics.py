"""Agents that are named by what is done, in texts that may be about just that.

"Expense Reports" is an agent, and an expense report may be what a task is about. A name whose last
word says who does something ("Refund Desk") is an agent's in any case. Any other is one where it is
written as a name, or where somebody of that name speaks or is spoken to. English only; the time
grows linearly with the text.
"""

import re
from collections.abc import Sequence

from .normal import Word

_NEAR = 40  # characters before a name that tell what it is
# Who does something, but for words that only end so.
_WHO = re.compile(
    r"(?!(?:(?:news)?letter|(?:check|wait)?list|(?:waste)?water|career|computer|container|counter|"
    r"customer|disorder|door|error|filter|floor|folder|labor|matter|number|offer|order|paper|power|"
    r"printer|quarter|register|server|tender|trailer|transfer|user|voucher|weather)$)"
    r".*(?:er|or|ist|bot)|agent|assistant|center|centre|clerk|copilot|department|desk|group|help|"
    r"hotline|lead|office|service|skill|support|team|tool|unit"
)
_A_THING = re.compile(
    r"\b(?:an?|any|another|each|every|her|his|last|my|new|next|no|our|that|their|these|this|those|"
    r"your|two|three|four|\d+)\s+$",
    re.IGNORECASE,
)
_SPEAKS = re.compile(
    r"(?:'s)?\s+(?:(?:already|also|just)\s+)?(?:(?:ask|call|claim|find|insist|keep|need|refuse|say|"
    r"send|show|tell|think|want|write)s?|asked|called|claimed|found|kept|needed|refused|said|sent|"
    r"told|wanted|wrote|can(?:'t|not)|could(?:n't)?|ha[sd]|have|won't|colleagues?|department|dept|"
    r"desk|folks|guy|lady|office|people|team)\b",
    re.IGNORECASE,
)
_SPOKEN_TO = re.compile(
    r"\b(?:ask(?:ed)?|call(?:ed)?|colleagues?|forwarded|guys?|lady|man|people|referred|sent|"
    r"some(?:body|one)|spoke|talked|told|transferred|woman|wrote)\s+(?:\w+\s+){0,2}?"
    r"(?:at|by|from|in|to|with)\s+$|\b(?:ask(?:ed)?|call(?:ed)?|contacted|tell|told)\s+$",
    re.IGNORECASE,
)


def is_topic(words: Sequence[Word]) -> bool:
    """Tell whether a name's words say what is done, and not who does it."""
    return _WHO.fullmatch(words[-1].normal) is None


def is_subject(text: str, found: Sequence[Word], name: Sequence[Word]) -> bool:
    """Tell whether the words of a topic are what a text is about, and not an agent.

    Args:
        text: that holds them.
        found: the words in the text, but for fillers.
        name: those of the name.
    """
    known = {word.cased.casefold() for word in name}
    if not {word.cased.casefold() for word in found} <= known:
        return True  # "an expense report", of "Expense Reports"
    if all(word.cased[:1].isupper() for word in found):
        return False
    before = text[max(found[0].start - _NEAR, 0) : found[0].start]
    if _A_THING.search(before):
        return True
    return not (_SPEAKS.match(text, found[-1].end) or _SPOKEN_TO.search(before))
