"""Sanitize untrusted text for a prompt or a line of output."""

import re
import unicodedata


def plain(text: str) -> str:
    """Return the text in compatibility form (NFKC), without invisible format characters."""
    composed = unicodedata.normalize("NFKC", text)
    return "".join(c for c in composed if unicodedata.category(c) != "Cf")


def one_line(text: str) -> str:
    """Return the text on one line, without the markers of prompt fields."""
    bare = re.sub(r"\]{2,}", "]", re.sub(r"\[{2,}", "[", plain(text)))
    return " ".join(bare.split())
