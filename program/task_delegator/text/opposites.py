"""Operations that undo each other: "create an account" is no task for ``delete_account``.

An encoder puts a request for the one close to the other, as they speak of the same thing. A name
says an operation where its first word is one, or its last. English only; the time grows linearly
with the texts.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from .identifiers import identifier_words
from .negation import without_negated
from .normal import singular, words_of, words_of_task
from .sanitize import plain

# What does something, and what undoes it. Words that are as often something else have no place
# here: "order", "show", "link".
_PAIRS = (
    ("create open register add set-up sign-up enroll", "delete close remove cancel erase"),
    ("book reserve schedule", "cancel unbook"),
    ("submit", "withdraw retract"),
    ("restore recover undelete", "delete erase remove"),
    (
        "activate reactivate enable unblock unfreeze unlock turn-on switch-on",
        "deactivate disable block freeze lock suspend turn-off switch-off",
    ),
    ("start begin resume boot", "stop end halt pause terminate shut-down"),
    ("increase raise extend", "decrease lower reduce shorten"),
    ("subscribe join sign-up", "unsubscribe leave opt-out"),
    ("upload import", "download export"),
    ("buy purchase", "sell"),
    ("install", "uninstall"),
    ("connect", "disconnect"),
    ("mute", "unmute"),
    ("check-in", "check-out"),
    ("log-in sign-in", "log-out sign-out"),
    ("deposit", "withdraw"),
    ("encrypt", "decrypt"),
    ("compress", "decompress"),
    ("lend", "borrow"),
    ("approve accept", "reject decline"),
    ("publish", "unpublish"),
    ("archive", "unarchive"),
    ("assign", "unassign"),
    ("grant", "revoke"),
    ("upgrade", "downgrade"),
)
_BEFORE_THINGS = frozenset({"a", "an", "her", "his", "my", "our", "the", "their", "your"})
_PARTICLE_WITHIN = 3  # words: "turn it on", "sign me up"
_NO_VERBS = frozenset({("open", "source"), ("start", "up")})  # with the word behind
# "Leave Requests", "Opening Hours": in names more often a thing, or all that is done about it; not
# so at the beginning of an identifier ("book_room"), which is what a function is called.
_THINGS_IN_NAMES = frozenset(
    {"approval", "book", "end", "enrollment", "installation", "leave", "open", "opening"}
    | {"registration", "sale", "subscription", "withdrawal"}
)
# What verbs are called where a name says them as a noun.
_DEEDS = {
    "activate": "activation",
    "approve": "approval",
    "cancel": "cancellation",
    "close": "closure",
    "create": "creation",
    "delete": "deletion",
    "enroll": "enrollment",
    "install": "installation",
    "register": "registration",
    "remove": "removal",
    "sell": "sale",
    "subscribe": "subscription",
    "terminate": "termination",
    "withdraw": "withdrawal",
}
_Side = tuple[int, int]  # a pair, and which of it
_Forms = dict[str, tuple[str, ...]]


def opposite_operation(task: str, name: str, said: Iterable[str]) -> tuple[str, str] | None:
    """Return what a task asks for and the operation of an agent that undoes it.

    Args:
        task: any text; what it says of the past ("the account I opened") is no operation.
        name: of the agent.
        said: what else the agent says of itself: its description and its samples.

    Returns:
        Both verbs; None where the name says no operation, or the task or the agent either.
    """
    if not (own := _of_name(name)):
        return None
    words = [word.normal for word in words_of_task(plain(task))]
    asked = {side: verb for side, verb in _found(words, _OPERATIONS) if _other(side) in own}
    # "cancel my booking" asks to book nothing
    done = ["" if before in _BEFORE_THINGS else word for before, word in pairwise(["", *words])]
    if not asked or any(side in own for side, _ in _found(done, _WITH_PAST)):
        return None
    for text in said:
        for side, _ in _found(_normals(without_negated(text)), _OPERATIONS):
            asked.pop(side, None)
    pairs = ((verb, own[_other(side)]) for side, verb in asked.items())
    return next(((verb.replace("-", " "), undo.replace("-", " ")) for verb, undo in pairs), None)


def _other(side: _Side) -> _Side:
    return side[0], 1 - side[1]


@lru_cache(maxsize=2**12)
def _of_name(name: str) -> dict[_Side, str]:
    """Return the operations that a name says; none that says both of a pair."""
    words = _normals(identifier_words(name))
    every = {side for side, _ in _found(words, _WITH_PAST)}
    called = len(words) > 1 and name.replace("_", "a").isalnum() and name[:1].islower()
    own = {
        side: verb
        for place, word in enumerate(words)
        if word not in _THINGS_IN_NAMES or (called and place == 0)
        for verb in _verbs_at(words, place, _OPERATIONS)
        if place == 0 or place + 1 + verb.count("-") == len(words)
        for side in _SIDES[verb]
    }
    return {side: verb for side, verb in own.items() if _other(side) not in every}


def _normals(text: str) -> list[str]:
    return [word.normal for word in words_of(plain(text))]


def _found(words: Sequence[str], forms: _Forms) -> Iterator[tuple[_Side, str]]:
    """Yield the operations that words say, and each as a verb."""
    for place in range(len(words)):
        for verb in _verbs_at(words, place, forms):
            yield from ((side, verb) for side in _SIDES[verb])


def _verbs_at(words: Sequence[str], place: int, forms: _Forms) -> Iterator[str]:
    behind = words[place + 1 : place + 1 + _PARTICLE_WITHIN]
    for verb in forms.get(words[place], ()):
        _, _, particle = verb.partition("-")
        if particle in ("", *behind) and (verb, *behind[:1]) not in _NO_VERBS:
            yield verb


def _inflected(verb: str, ending: str) -> Iterator[str]:
    """Yield the spellings of a verb with an ending: "stoping" is none, and harms nothing."""
    yield f"{verb.removesuffix('e')}{ending}"
    yield f"{verb}{verb[-1]}{ending}"


def _by_form(*, past: bool) -> _Forms:
    """Return verbs by the normal forms of their first words, and of nouns for what they do."""
    found: dict[str, set[str]] = {}
    for verb in _SIDES:
        first = verb.partition("-")[0]
        forms = [first, *_inflected(first, "ing"), _DEEDS.get(verb, first)]
        if past:
            forms += _inflected(first, "ed")
        for form in forms:
            found.setdefault(singular(form), set()).add(verb)
    return {form: tuple(sorted(verbs)) for form, verbs in found.items()}


def _sides() -> dict[str, tuple[_Side, ...]]:
    """Return the sides of each verb."""
    found: dict[str, list[_Side]] = {}
    for number, pair in enumerate(_PAIRS):
        for which, verbs in enumerate(pair):
            for verb in verbs.split():
                found.setdefault(verb, []).append((number, which))
    return {verb: tuple(sides) for verb, sides in found.items()}


_SIDES = _sides()
_OPERATIONS, _WITH_PAST = _by_form(past=False), _by_form(past=True)
