"""Parts of a text that somebody else wrote: quoted, pasted, forwarded, printed by a program.

The time grows linearly with the text.
"""

import re

_MARKS = re.compile(
    r"```.*?(?:```|\Z)"  # fenced, perhaps without an end
    r"|`[^`\n]+`"
    r"|^[ \t]*>[^\n]*"  # a mail's quoting
    r'|"[^"\n]+"'
    "|\u201c[^\u201c\u201d]+\u201d|\u00ab[^\u00ab\u00bb]+\u00bb"
    r"|(?<!\w)'[^'\n]+(?:(?<=\w)'(?=\w)[^'\n]+)*'(?!\w)"
    # From here on, all of the text: a mail below its header, what forges a prompt.
    r"|^[^\n]{0,200}\b(?:wrote|writes|Original Message|Forwarded message)\b[^\n]{0,20}\n.*\Z"
    r"|(?:\[\[ ##|<\|)(?:.*)\Z",
    re.MULTILINE | re.DOTALL,
)

# What a mail quotes, and all that follows a header such as "Ann wrote:". No prompt of a program
# (">>> x"), no comparison ("> 3").
_MAIL = re.compile(
    r"^[ \t]*>(?:[ \t]*>)?(?:[ \t]+(?!\d)[^\n]*|[^\W\d][^\n]*)?(?:\n|\Z)"
    r"|^(?:On [^\n]{0,200}\n)?[^\n]{0,200}\b(?:wrote|writes):[ \t]*\n.*\Z"
    r"|^-{2,}[^\n]{0,20}(?:Original Message|Forwarded message)[^\n]{0,20}\n.*\Z"
    r"|^From:[^\n]{1,200}\n(?:Sent|Date):[^\n]{0,200}\n(?:(?:To|Cc):[^\n]{0,300}\n){1,2}"
    r"Subject:[^\n]{0,300}(?:\n.*)?\Z",
    re.MULTILINE | re.DOTALL,
)
_FEWEST_WORDS = 3  # of one's own that may say what should be done
# A line that introduces what is quoted below it: "Ann schrieb:", "On 3 May Ann said:".
_HEADER = re.compile(
    r"^(?=[^\n>]*(?:\d|\b(?:said|says|schrieb|schreibt|\u00e9crit|escribi\u00f3|scritto|skrev|schreef)\b))"
    r"[^\n>]{0,200}:[ \t]*\n(?=[ \t]*>)",
    re.MULTILINE,
)
_VERB = (
    r"(?:answer|check|fix|fwd|handle|help|look|process|read|reply|respond|review|see|solve|sort)"
)
# What it says where it is no such line, or one that ``_MAIL`` knows.
_ASKS = re.compile(
    rf"\b(?:can|could|please|pls|would|deal|take|wrote|writes|{_VERB})\b", re.IGNORECASE
)
_MAIL_NOUN = (
    r"(?:case|client|complaint|customer|e-?mail|guy|issue|mail|message|one|person|question|request|"
    r"ticket)"
)
_HANDS_ON = re.compile(
    r":\s*\Z|\b(?:below|following|forward\w*|fwd?|attached|above|fyi)\b"
    rf"|\b(?:{_VERB}|about|at|do|for|into|is|of|to|with)\s+(?:this|these|that|it)\b"
    rf"(?:\s+{_MAIL_NOUN}|(?!\s+(?!(?:and|asap|for|here|please|to|today|up|with)\b)[a-z]))"
    rf"|\b{_VERB}\W*\Z",
    re.IGNORECASE,
)


def own_words(text: str) -> str | None:
    """Return a mail without the mails that it quotes.

    None where it quotes none, says no more, or hands on what it quotes ("please answer this:").

    Args:
        text: the mail, its answer above or below what is quoted.
    """
    text = text.replace("\r\n", "\n")
    told = _HEADER.sub(lambda line: line[0] if _ASKS.search(line[0]) else "", text)
    own, quoted = _MAIL.subn("", told)
    if not quoted or len(own.split()) < _FEWEST_WORDS or _HANDS_ON.search(own):
        return None
    return own.strip()


def quoted_spans(text: str) -> list[tuple[int, int]]:
    """Return where a text holds what others wrote: (start, end) with the marks, in order."""
    return [match.span() for match in _MARKS.finditer(text)]
