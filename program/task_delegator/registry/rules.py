"""What a registry refuses: names that are empty or alike, too much text, misspelled fields."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ..errors import InputError
from ..text import plain
from .look_alikes import as_latin

# One agent must not hold up the index of all: the longest takes some 25 seconds, once.
NAME_CHARACTERS = 200
TEXT_CHARACTERS = 100_000  # each of description, instructions, use_when and do_not_use_when
SAMPLES = 1_000
SAMPLE_CHARACTERS = 20_000  # as many as a task may have
TOOLS = 1_000
AGENT_CHARACTERS = 300_000  # of all that is searched of an agent together
FIELDS = 1_000
FIELD_CHARACTERS = 200  # of a field's name

Text = Annotated[str, Field(max_length=TEXT_CHARACTERS)]
Sample = Annotated[str, Field(max_length=SAMPLE_CHARACTERS)]
Samples = Annotated[tuple[Sample, ...], Field(max_length=SAMPLES)]

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, line separators
_NEAR_NAME = 0.75  # similarity of a name to the one that was meant
_NEAR = 0.85  # similarity of a misspelled field to the right one
_NEAR_GUARD = 0.7  # the same of a field whose misspelling would open the agent to all
_LETTERS_TO_SWAP = 4  # of a name; a shorter one with two swapped is another word as often
_GUARD = "required_permissions"
_SHORT = re.compile(r"(?<![a-zA-Z])(?:perms?|PERMS?|Perms?)(?![a-z])|[a-z]Perms?(?![a-z])")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")  # of "allowedRoles", "min_role"
_NEEDS = re.compile(r"needs|require(?:d|s|ments?)?", re.IGNORECASE)
_GUARDS = re.compile(
    r"access|acls?|allow\w*|auth(?:n|z|ori[sz]\w*)?|(?:black|block|deny|white)list|clearance"
    r"|confidential\w*|den(?:y|ies|ied)|entitle\w*|forbid\w*|grant(?:s|ed)?|groups?|hidden|private"
    r"|privileges?|rbac|restrict\w*|rights|roles?|scopes|secret|security|users|viewers|visib\w*",
    re.IGNORECASE,
)


def name_key(name: str) -> str:
    """Return what two names have in common that look the same."""
    return " ".join(as_latin(plain(name).casefold()).split())


def name_taken(name: str, other: str) -> InputError:
    """Return that an agent cannot be named so beside another."""
    if name == other:
        return InputError(f"two agents are named {name!r}: rename one of them")
    return InputError(f"two agents are named {other!r} and {name!r}: they look the same")


def check_name(name: str) -> str:
    """Return the name of an agent.

    Raises:
        ValueError: it is empty, or holds a control character.
    """
    if not name_key(name):
        raise ValueError("is empty, or shows nothing")
    if (bad := unprintable(name)) is not None:
        raise ValueError(f"{name!r:.80} holds the control character {bad!r}: remove it")
    return name


def unprintable(name: str) -> str | None:
    """Return the first character that would break a line or turn its direction, else None."""
    return next((c for c in name if c in _BIDI or unicodedata.category(c) in _REFUSED), None)


def check_fields(values: Mapping[Any, Any], known: Collection[str]) -> None:
    """Check the names of an agent's fields.

    Raises:
        ValueError: there are too many, or one is too long or nearly spells a known one.
    """
    if len(values) > FIELDS:
        raise ValueError(f"has {len(values):,} fields: at most {FIELDS:,} are read, leave some out")
    for field in map(str, values):
        if len(field) > FIELD_CHARACTERS:
            raise ValueError(
                f"the field {field[:40]!r}... has a name of {len(field):,} characters: "
                f"shorten it to {FIELD_CHARACTERS}"
            )
        if right := misspelled(field, known):
            raise ValueError(
                f"the field {field!r} of {values.get('name')!r:.80} is unknown: "
                f"did you mean {right!r}? Rename it"
            )


def misspelled(field: str, known: Collection[str]) -> str | None:
    """Return the known field that an unknown one nearly spells, None where there is none.

    Separators, case, a plural and two letters that are swapped do not count. A known field with a
    further word behind it (``description_de``) is a field of its own, but not where permissions
    are meant. They are wherever a word of the field is "permission": ``permissions_needed``.
    """
    return None if field in known else _meant(field, tuple(known))


@lru_cache(maxsize=10_000)  # the agents of a file have the same fields
def _meant(field: str, known: tuple[str, ...]) -> str | None:
    spelled = _spelled(field)
    if _GUARD in known and ("permission" in spelled or _SHORT.search(plain(field))):
        return _GUARD
    shares = {
        name: _share(spelled, name, _NEAR_GUARD if name == _GUARD else _NEAR) for name in known
    }
    if shares.get(_GUARD):
        return _GUARD
    near, share = max(shares.items(), key=lambda item: (item[1], item[0]))
    extended = any(field.startswith(f"{name}_") and _spelled(name) != spelled for name in known)
    return near if share and not extended else None


def _share(spelled: str, name: str, least: float) -> float:
    """Return how much a field's spelling has of a known name; 0 where that is too little.

    Lengths and letters bound it, at a small part of the cost.
    """
    right, letters = _known(name)
    both = len(spelled) + len(right)
    if 2 * min(len(spelled), len(right)) < least * both:
        return 0.0
    if 2 * (Counter(spelled) & letters).total() < least * both:
        return 0.0
    share = SequenceMatcher(None, spelled, right).ratio()
    return max(share, least) if share >= least or _swaps_two(spelled, right) else 0.0


def _swaps_two(spelled: str, right: str) -> bool:
    """Tell whether a spelling is the right one with two letters in a row swapped: "spilt".

    In a short word these two weigh so much that the similarity does not show it.
    """
    if len(spelled) != len(right) or len(right) < _LETTERS_TO_SWAP:
        return False
    places = [
        place for place, pair in enumerate(zip(spelled, right, strict=True)) if len({*pair}) > 1
    ]
    if len(places) != 2 or places[1] != places[0] + 1:
        return False
    first, second = places
    return spelled[first] == right[second] and spelled[second] == right[first]


@lru_cache
def _known(name: str) -> tuple[str, Counter[str]]:
    """Return a known field as it is compared, and its letters."""
    spelled = _spelled(name)
    return spelled, Counter(spelled)


def no_such_agent(name: object, names: Iterable[str]) -> str:
    """Return that no agent has a name, and which of some names may be meant."""
    said = f"no agent is named {name!r}"
    folded = {known.casefold(): known for known in names}
    close = get_close_matches(str(name).casefold(), folded, n=1, cutoff=_NEAR_NAME)
    return f"{said} (did you mean {folded[close[0]]!r}?)" if close else said


def seems_to_guard(field: str) -> bool:
    """Tell whether a field of the registry's own reads as if it limited who may use an agent.

    Args:
        field: its name; of a field within another, both names, with a point between them.
    """
    outer, _, inner = field.partition(".")
    # "required" within another field is what a JSON schema says.
    kinds = (_GUARDS,) if inner else (_GUARDS, _NEEDS)
    return any(kind.fullmatch(word) for word in field_words(inner or outer) for kind in kinds)


def field_words(field: str) -> list[str]:
    """Return the words of a field's name, in small letters."""
    return [word.casefold() for word in _WORD.findall(plain(field))]


def _spelled(field: str) -> str:
    """Return a field's name as it is compared: letters and digits, lower case, singular."""
    return re.sub(r"[\W_]+", "", plain(field).casefold()).rstrip("s")


def first_fault(error: ValidationError) -> str:
    """Return the first validation error as "field: reason", or which field is missing."""
    first = error.errors()[0]
    if first["type"] == "missing":
        return f"{'.'.join(map(str, first['loc']))} is missing: add it"
    context = first.get("ctx", {})
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "too_long":
        said = f"has {context['actual_length']} items: leave at most {context['max_length']} items"
    elif first["type"] == "string_too_long":
        said = f"is too long: shorten it to at most {context['max_length']} characters"
    elif first["type"] == "literal_error":
        said = f"must be {context['expected']}"
    for kind in ("tuple", "frozenset"):
        said = said.replace(f"valid {kind}", "valid list")
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), said)))
