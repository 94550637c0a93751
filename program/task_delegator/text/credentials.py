"""Find passwords, keys and headers in a text, in the shapes that addresses and logs give them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

HIDDEN = "…"
SECRET_NAME = re.compile(
    r"key|token(?!s)|secret|pass(?!e)|pwd|credential|auth(?!ors?(?:$|[_-]))|signature|cookie|jwt"
    r"|(?:^|[_-])(?:sig|pat|pw|code|session|sid)(?:$|[_-])",
    re.IGNORECASE,
)
_LEVELS = 3  # encodings within encodings that are undone one by one; then all that are left
_PORT = r"(?!\d{1,5}(?:[/?#\s]|$))"
# A password may hold an @; some drivers take one with a slash or a blank, some a user without a
# scheme. A port is no password, and "models:/x@y" no user.
_USER = re.compile(
    rf"(?<=//)(?:[^/\s:@]{{0,99}}:{_PORT}(?!\s)[^@]{{1,99}}@(?:[^/\s]*@)?|[^/?#\s]*@)"
    rf"|(?<![\w/.+%-])[\w.+%-]{{1,64}}:(?!/){_PORT}(?:(?!//)[^\s@]){{1,99}}@(?=[\w\[])"
    r"|(?<!\S):[^\s@/]{1,99}@(?=[\w\[])"
)
_NAMED = re.compile(  # a parameter of an address, a driver's own text, JSON, or a command line
    r"(?<![\w-])(?:\"|')?([\w-]{1,64})(?:[\"']?\s{0,3}(?:=>?)\s{0,3}|[\"']\s{0,3}[:,]\s{0,3})"
    r"|(?<![\w-])--?([a-z][\w-]{0,63})\s(?!-)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"b?(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.){0,200}'(?!\w)|'[^'\s]*'?|\{[^}]{0,200}\}"
    r"|(?:(?:bearer|basic|token|digest|apikey)\s)?"
    r"[^&;,\s\"']+(?:'[^&;,\s\"']+)*)",
    re.IGNORECASE | re.DOTALL,
)
_FIELD = re.compile(  # a header, up to the end of its line; any other name with a colon below
    r"(?<![\w-])((?:proxy-|x-[\w-]{0,30})?(?:authorization|authentication)|(?:set-)?cookie"
    r"|(?:x-)?(?:[\w-]{1,30}-)?(?:api-?key|auth-token|access-token|secret))"
    r"\s{0,3}:[^\S\n]{0,3}(?=\S)([^\r\n]+)",
    re.IGNORECASE,
)
_SAID = re.compile(r"(?<![\w-])([\w-]{1,64}):\s{0,3}((?=\S{0,99}(?:\d|[a-z][A-Z]|[A-Z]{2}))\S{4,})")
_KEY = re.compile(  # told by its own beginning, wherever it stands
    r"(?<![A-Za-z0-9])(?:sk-[\w-]{6,}|(?:sk|pk|rk)_(?:live|test)_\w{8,}|(?:AKIA|ASIA)[0-9A-Z]{12,}"
    r"|gh[oprsu]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{16,}|gsk_\w{16,}"
    r"|xai-\w{16,}|xox[a-z]-[\w-]{10,}|AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?)"
    # Told from prose, "a bearer of news", by a capital letter or a digit.
    r"|\b(?i:bearer|basic)\s+(?=[^\sA-Z0-9]*[A-Z0-9])[\w.~+/=-]{8,}"
)
_REFERENCE = r"&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|(amp|quot|apos|colon|commat|equals|sol));"
_ENCODED = re.compile(
    rf"%([0-9a-f]{{2}})|\\(?:u([0-9a-f]{{4}})|x([0-9a-f]{{2}})|([\"'/\\]))|{_REFERENCE}",
    re.IGNORECASE,
)
_DEEPLY_ENCODED = re.compile(
    rf"%(?:25)*([0-9a-f]{{2}})|(?<!\\)\\+(?:u([0-9a-f]{{4}})|x([0-9a-f]{{2}})|([\"'/]))"
    rf"|{_REFERENCE}",
    re.IGNORECASE,
)
_REFERENCES = {
    "amp": "&",
    "quot": '"',
    "apos": "'",
    "colon": ":",
    "commat": "@",
    "equals": "=",
    "sol": "/",
}


def without_user(address: str) -> str:
    """Return a text without what opens a door in its addresses: names, passwords and keys.

    The text is read as it stands, and as it was before a URL, JSON or HTML encoded it, once or
    several times. Takes linear time.
    """
    found = sorted({span for level in _decoded(address) for span in _secrets(level)})
    shown, at = [], 0
    for start, end, mark in found:
        if end <= at:
            continue
        if start >= at:
            shown += [address[at:start], mark]
        at = end
    return "".join(shown) + address[at:]


@dataclass(frozen=True, slots=True)
class _Level:
    """A text with where each of its characters stands in the text that it was decoded from.

    Attributes:
        text: as it reads when so many encodings are undone.
        places: the start of each character, and the end of the last; None where nothing changed.
    """

    text: str
    places: list[int] | None = None

    def span(self, start: int, end: int, mark: str) -> tuple[int, int, str]:
        if self.places is None:
            return start, end, mark
        return self.places[start], self.places[end], mark


def _decoded(text: str) -> Iterator[_Level]:
    level = _Level(text)
    for pattern in (*[_ENCODED] * _LEVELS, _DEEPLY_ENCODED):
        yield level
        inner = _undone(level, pattern)
        if inner.text == level.text:
            return
        level = inner
    yield level


def _undone(level: _Level, pattern: re.Pattern[str]) -> _Level:
    places = level.places or range(len(level.text) + 1)
    letters: list[str] = []
    kept: list[int] = []
    at = 0
    for match in pattern.finditer(level.text):
        letters += level.text[at : match.start()]
        kept += places[at : match.start()]
        letters.append(_character(match))
        kept.append(places[match.start()])
        at = match.end()
    return _Level("".join([*letters, level.text[at:]]), [*kept, *places[at:]])


def _character(match: re.Match[str]) -> str:
    """Return the one character that an escape stands for; a letter for a part of one."""
    byte, hexadecimal, short, quoted, high, decimal, name = match.groups()
    if byte:
        return chr(int(byte, 16)) if int(byte, 16) < 0x80 else "\xff"
    if quoted:
        return quoted
    if name:
        return _REFERENCES[name.lower()]
    code = int(decimal) if decimal else int(hexadecimal or short or high, 16)
    return chr(code) if code < 0x110000 else "\xff"


def _secrets(level: _Level) -> Iterator[tuple[int, int, str]]:
    """Yield what opens a door in a text: start, end, what is shown instead."""
    text = level.text
    for match in _USER.finditer(text):
        yield level.span(*match.span(), "")
    for match in (*_KEY.finditer(text), *_FIELD.finditer(text)):
        group = match.lastindex or 0
        yield level.span(match.start(group), match.end(group), HIDDEN)
    for match in _SAID.finditer(text):
        if SECRET_NAME.search(match[1]):
            yield level.span(*match.span(2), HIDDEN)
    end = 0
    for match in _NAMED.finditer(text):
        if match.start() >= end and SECRET_NAME.search(match[1] or match[2]):
            value = _VALUE.match(text, match.end())
            if value is not None:
                end = value.end()
                yield level.span(*value.span(), HIDDEN)
