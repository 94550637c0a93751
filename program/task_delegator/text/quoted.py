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
    r"^[ \t]*>(?:[ \t]*>)?(?:[ \t]+(?!\d)[^\n]*)?(?:\n|\Z)"
    r"|^(?:On [^\n]{0,200}\n)?[^\n]{0,200}\b(?:wrote|writes):[ \t]*\n.*\Z"
    r"|^-{2,}[^\n]{0,20}(?:Original Message|Forwarded message)[^\n]{0,20}\n.*\Z",
    re.MULTILINE | re.DOTALL,
)
_FEWEST_WORDS = 3  # of one's own that may say what should be done
_HANDS_ON = re.compile(
    r":\s*\Z|\b(?:this|these|that|it|below|following|forward\w*|fwd?|attached|above|fyi)\b",
    re.IGNORECASE,
)


def own_words(text: str) -> str | None:
    """Return a mail without the mails that it quotes.

    None where it quotes none, says no more, or hands on what it quotes ("please answer this:").

    Args:
        text: the mail, its answer above or below what is quoted.
    """
    own, quoted = _MAIL.subn("", text)
    if not quoted or len(own.split()) < _FEWEST_WORDS or _HANDS_ON.search(own):
        return None
    return own.strip()


def quoted_spans(text: str) -> list[tuple[int, int]]:
    """Return where a text holds what others wrote: (start, end) with the marks, in order."""
    return [match.span() for match in _MARKS.finditer(text)]
