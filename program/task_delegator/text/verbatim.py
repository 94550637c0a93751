"""A task that repeats what an agent says of itself: it finds that agent whatever it asks for."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby

from .normal import words_of, words_of_task
from .sanitize import plain

_SHINGLE = 6  # words that are looked up together: people share such runs, but not long ones
_WORDS = 12
_CHARACTERS = 80


def repeated_words(task: str, said: str) -> int:
    """Return how many words of a task stand in a text in the same order, without a gap.

    Words are compared in their normal form. The time grows linearly with both.

    Args:
        task: any text.
        said: what an agent says of itself.

    Returns:
        The words of the longest such run; 0 where none has 12 words or 80 characters.
    """
    asked = [word.normal for word in words_of_task(plain(task))]
    if len(asked) < _SHINGLE:
        return 0
    shingles = _shingles_said(said)
    hits = [at for at, shingle in enumerate(_shingles(asked)) if shingle in shingles]
    runs = [asked[first : last + _SHINGLE] for first, last in _stretches(hits)]
    long = [run for run in runs if len(run) >= _WORDS or len(" ".join(run)) >= _CHARACTERS]
    return max(map(len, long), default=0)


def _shingles(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[at:] for at in range(_SHINGLE)), strict=False)


@lru_cache(maxsize=256)  # of 5 kB each
def _shingles_said(said: str) -> frozenset[tuple[str, ...]]:
    return frozenset(_shingles([word.normal for word in words_of(plain(said))]))


def _stretches(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Return the first and the last of all places that follow on each other."""
    for _, stretch in groupby(enumerate(places), lambda item: item[1] - item[0]):
        held = [place for _, place in stretch]
        yield held[0], held[-1]
