"""Parts of an English text that say what is *not* wanted: they are no evidence for an agent.

A cue opens such a part, and it reaches to the end of its clause, never beyond its sentence. What
does not work ("my card was not accepted") is what a task is about: a verb is taken as negated only
where somebody says what he wants ("I don't want", "don't book") or talks about ("this isn't
about"). The time grows linearly with the text.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator

_FEWEST_WORDS = 2  # of substance that must be left, else the whole text is read
_DETERMINER = (
    r"(?:an?|the|my|our|your|his|her|their|its|any|another|some|this|that|these|those|all|about|"
    r"for|from|with|by|via|in|on|as|at)"
)
_WANT = (
    r"(?:want|need|require|wish|mean|care|ask(?:ing)?|look(?:ing)? for|talk(?:ing)? about|"
    r"interested in|after|seeking)"
)
_SPEAKER = r"(?:i|we|you|they|he|she|nobody|nothing)"
_NOT = r"(?:not|n[o']t)"
_OPENS = r"(?:^|(?<=[,;:.!?(\n])|(?<=[,;:.!?(\n]\s)|(?<=\b(?:so|ok)\s)|(?<=\b(?:and|but)\s))"
_POLITE = r"(?:please\s+|well\s+|no\s+)?"
_AUXILIARY = frozenset(
    "am are be been being can could did do does had has have if is may might must of or shall "
    "should was were whether why will would still it's that's he's she's i'm we're they're".split()
)
_CUES = (
    # "Not a finance analysis; create a PRD", "the entry, not a migration guide"
    rf"(?P<fragment>(?<![\w'])not\s+(?={_DETERMINER}\s|[\w.-]*[A-Z_]|\w+\s*(?:[,;:.!?]|$)))",
    # "don't book me a flight", "please do not write", "never mind the invoice"
    rf"{_OPENS}\s*{_POLITE}(?:do\s+not|don't|dont|never|no\s+need\s+(?:to|for)|forget|skip|ignore"
    r"|leave\s+(?:out|aside)|nothing\s+(?:about|to\s+do\s+with))\s+"
    r"(?!(?:forget|hesitate|fail|miss|worry|know|understand|see|have|remember|find|get|work|seem|"
    r"this|received?|had|been|got|again|to)\b)",
    # "we don't need a price", "I am not asking for a translation"
    rf"\b{_SPEAKER}\s+(?:(?:do|does|did)\s*(?:not|n't)|dont|don't|doesn't|didn't)\s+"
    rf"(?:really\s+|even\s+)?{_WANT}\b(?!\s+to\s+(?:lose|miss|pay|wait|risk|break|forget|see)\b)",
    rf"\b{_SPEAKER}\s*(?:am|are|is|'m|'re|was|were)\s+(?:no\s+longer|not)\s+"
    r"(?:asking|looking|talking|interested|after|on|using|running)\b",
    r"\b(?:nobody|no\s+one)\s+(?:wants|needs|asked|is\s+asking)\b",
    # "this isn't about a broken scanner", "it's no longer a lead", "this is no post"
    r"\b(?:this|it|that|these)\s*(?:(?:is|are|was)\s*(?:not|n't)|isn't|aren't|wasn't|isnt|'s\s+not)"
    r"\s+(?:about|for|meant|an?|another|just)\s",
    r"\b(?:this|it|that)\s*(?:is|'s)\s+no\s+(?:longer\s+)?(?!idea|use|help|good|problem|wonder)",
    # "rather than a tutorial", "without touching the newsletter"
    r"\b(?:rather\s+than|instead\s+of|as\s+opposed\s+to|anything\s+but|other\s+than|apart\s+from"
    r"|except(?:\s+for)?|no\s+need\s+(?:to|for)|has\s+nothing\s+to\s+do\s+with)\s",
    r"\bwithout\s+(?:touching|changing|involving|mentioning|using|including|sending|writing|"
    r"bothering|asking)\b",
    # "No Terraform here", "no songs please"
    rf"{_OPENS}\s*no\s+(?!later|longer|more|one|matter|idea|doubt|problem|rush|hurry|need)"
    r"(?=(?:[\w.'-]+\s+){1,5}?(?:here|please|needed|necessary|required|wanted|thanks|for\s+now|"
    r"this\s+time)\b)",
)
_CUE = re.compile("|".join(_CUES), re.IGNORECASE)
