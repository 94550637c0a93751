"""Make text that others wrote fit for a prompt, or for print."""

import re
import unicodedata
from collections import Counter

# Unicode's stream-safe text format (UAX 15): no language sets more on a letter, and ordering
# them takes quadratic time.
_MOST_MARKS = 30
_UNPRINTED = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
# Letters and marks that are shown as nothing (Unicode's Default_Ignorable_Code_Point beyond the
# format characters): fillers of Hangul, vowels of Khmer, selectors of variants. They part a word
# for whoever compares letters, and not for a reader or a tokenizer.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# How DSPy marks images and files in a prompt, whose addresses the provider then opens.
_CONTENT_MARK = re.compile(r"<{2,}(?=CUSTOM-TYPE-)")


def plain(text: str) -> str:
    """Return the text in compatibility form (NFKC), without invisible characters.

    U+FFFD stands for half characters (lone surrogates), which no LM can be sent.
    """
    if text.isascii():
        return text
    composed = _composed(text)
    kinds = ((char, unicodedata.category(char)) for char in composed)
    return "".join(
        _UNPRINTED if kind == "Cs" else char for char, kind in kinds if _is_visible(char, kind)
    )


def longest_form(text: str) -> int:
    """Return how many characters a text has, as it is given or in compatibility form.

    One character may stand for eighteen there.
    """
    if text.isascii():
        return len(text)
    counts = Counter(_composed(text)).items()  # few kinds of characters, however long it is
    seen = (n for char, n in counts if _is_visible(char, unicodedata.category(char)))
    return max(len(text), sum(seen))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFKC", with_few_marks(text))


def _is_visible(char: str, kind: str) -> bool:
    return kind != "Cf" and not _INVISIBLE.match(char)


def with_few_marks(text: str) -> str:
    """Return the text, of more than 30 combining marks in a row the first 30 alone."""
    if not any(map(_ends_in_mark, set(text))):
        return text
    kept, marks = [], 0
    for char in text:
        if char.isascii():
            marks = 0
        else:  # by what it decomposes to: some characters that are no marks are made of them
            parts = unicodedata.normalize("NFKD", char)
            first, last = unicodedata.combining(parts[0]), unicodedata.combining(parts[-1])
            marks = (marks + 1 if first else 1) if last else 0
        if marks <= _MOST_MARKS:
            kept.append(char)
    return "".join(kept)


def _ends_in_mark(char: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", char)[-1]) > 0


def one_line(text: str) -> str:
    """Return the text on one line, without the markers of prompt fields and of DSPy's content."""
    bare = re.sub(r"\]{2,}", "]", re.sub(r"\[{2,}", "[", plain(text)))
    return " ".join(_CONTENT_MARK.sub("<", bare).split())


def marks_content(text: str) -> bool:
    """Tell whether DSPy would take a part of a prompt for an image or a file."""
    return _CONTENT_MARK.search(text) is not None


def printable(text: str) -> str:
    """Return the text on one line, fit for a terminal, a log or a sentence that a person reads.

    Line breaks and tabs become blanks. U+FFFD stands for each other control character, for
    characters that change the direction of writing or are invisible, and for half characters
    (lone surrogates). So no text forges a line, moves the cursor or hides. Joiners stay: Persian
    and emoji need them.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(char: str) -> str:
    kind = unicodedata.category(char)
    if kind in ("Zl", "Zp") or (kind == "Cc" and char.isspace()):
        return " "
    return _UNPRINTED if kind in ("Cc", "Cf", "Cs") and char not in _JOINERS else char
