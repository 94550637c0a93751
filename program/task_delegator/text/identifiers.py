"""Names that are written as identifiers, as words."""

import re

# Before a capital behind a small letter, and before the last of several that begins a word:
# "getHTTPResponse" has three words, "listPDFs" two.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")


def identifier_words(name: str) -> str:
    """Return a name with its words apart, ``getUser`` as ``get User`` and ``get_user`` likewise.

    A name with blanks has its words already, so that "GitHub Helper" stays as it is.
    """
    parted = name.replace("_", " ")
    return parted if any(map(str.isspace, name)) else _HUMP.sub(" ", parted)
