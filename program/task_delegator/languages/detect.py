"""Detect tasks in a language that the embedder does not support."""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from ..system import Lock
from ..text import with_few_marks

_LIKELIEST = 0.5  # least probability of the language that is named
_MOST_KNOWN = 0.01  # probability of all known languages together
_ALIKE = {"en": ("pcm",)}  # Nigerian Pidgin: a short English request often looks like it
_lock = Lock()


def foreign_language(task: str, known: Collection[str] | None) -> str | None:
    """Return the code (ISO 639) of the task's language where it is reliably none of the known.

    langid (Lui and Baldwin, 2012): naive Bayes over byte n-grams, 0.1 ms a task. How reliable
    that is: ``python -m experiments languages``.

    Args:
        task: the task; short ones and mixtures count as known.
        known: codes of the languages that the embedder supports; None for any.
    """
    if known is None:
        return None
    heard = {code for name in known for code in (name, *_ALIKE.get(name, ()))}
    text = with_few_marks(task)  # it composes them: quadratic in a row
    with _lock:
        language, probability = _identifier().classify(text)
        if language in heard or probability < _LIKELIEST:
            return None  # no need to rank the others
        ranked = _identifier().rank(text)
    share = sum(p for code, p in ranked if code in heard)
    return str(language) if share < _MOST_KNOWN else None


@lru_cache(maxsize=2**14)
def language_of_agent(said: str, known: frozenset[str] | None) -> str | None:
    """Return ``foreign_language`` of what an agent says of itself, which is asked for each task."""
    return foreign_language(said, known)


def prepare_languages() -> None:
    """Load what tells languages apart, before a task waits for it."""
    with _lock:
        _identifier()


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from .identifier import load_identifier  # it needs numpy, which --help does without

    return load_identifier()
