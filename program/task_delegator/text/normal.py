"""Words of a text in one normal form: NFKC, without accents, in lower case, in the singular."""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_RUN = re.compile(r"[^\W_]+")
_LONGEST = 32  # letters of a word whose normal form is remembered
_SIBILANTS = ("se", "xe", "ze", "che", "she")  # "address" and "addresses", "case" and "cases"


class Word(NamedTuple):
    """A word of a text.

    Attributes:
        normal: in the normal form.
        cased: as it is written, without accents.
        start, end: where it stands in the text.
    """

    normal: str
    cased: str
    start: int
    end: int


@lru_cache(maxsize=8)
def words_of_task(text: str) -> tuple[Word, ...]:
    """Return ``words_of`` a task, which is looked through for names and for what agents say."""
    return tuple(words_of(text))


def words_of(text: str, word: re.Pattern[str] = _RUN) -> list[Word]:
    """Return the words of a text with their places in it."""
    if text.isascii():
        return [Word(_normal(run[0]), run[0], *run.span()) for run in word.finditer(text)]
    kept = [
        (letter, place)
        for place, character in enumerate(text)
        for letter in unicodedata.normalize("NFKD", character)
        if not unicodedata.combining(letter)
    ]
    bare = "".join(letter for letter, _ in kept)
    places = [*(place for _, place in kept), len(text)]
    return [
        # Accents that were left out behind the last letter are a part of the word.
        Word(_normal(run[0]), run[0], places[run.start()], places[run.end()])
        for run in word.finditer(bare)
    ]


def _normal(word: str) -> str:
    return _remembered(word) if len(word) <= _LONGEST else singular(word.casefold())


@lru_cache(maxsize=2**14)
def _remembered(word: str) -> str:
    return singular(word.casefold())


def singular(word: str) -> str:
    """Return what a lower-case word and its English plural have in common."""
    bare = word.rstrip("s")
    if bare.endswith(_SIBILANTS):
        bare = bare[:-1].rstrip("s")
    if bare.endswith("ie"):
        bare = f"{bare[:-2]}y"
    return bare if len(bare) > 1 else word
