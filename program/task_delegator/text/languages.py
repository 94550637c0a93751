"""Detect tasks in a language that the embedder does not support."""

import os
from collections.abc import Collection
from functools import lru_cache
from threading import Lock
from typing import Any

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
    with _lock:
        ranked = _identifier().rank(task)
    language, probability = ranked[0]
    supported = {code for name in known for code in (name, *_ALIKE.get(name, ()))}
    share = sum(p for code, p in ranked if code in supported)
    return str(language) if probability >= _LIKELIEST and share < _MOST_KNOWN else None


def _forked() -> None:
    """Let a forked child not wait for a thread that only its parent has."""
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
