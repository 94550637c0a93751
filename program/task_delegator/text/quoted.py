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

# What a mail quotes, and all that follows a header such as "Ann wrote:".
_MAIL = re.compile(
    r"^[ \t]*>[^\n]*\n?"
    r"|^[^\n]{0,200}\b(?:wrote|writes|Original Message|Forwarded message)\b[^\n]{0,20}\n.*\Z",
    re.MULTILINE | re.DOTALL,
)
_FEWEST_WORDS = 3  # of one's own that may say what should be done


def own_words(text: str) -> str | None:
    """Return a mail without the mails that it quotes; None where it quotes none, or says no more.

    Args:
        text: the mail, its answer above or below what is quoted.
    """
    own, quoted = _MAIL.subn("", text)
    return own.strip() if quoted and len(own.split()) >= _FEWEST_WORDS else None


def quoted_spans(text: str) -> list[tuple[int, int]]:
    """Return where a text holds what others wrote: (start, end) with the marks, in order."""
    return [match.span() for match in _MARKS.finditer(text)]
