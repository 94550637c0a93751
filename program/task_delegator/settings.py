"""What a caller may ask of the program: tasks, deadlines, embedders, what to do when the LM fails.

It loads nothing: command lines take their defaults from here.
"""

import math
from collections.abc import Iterable
from typing import Literal, get_args

from .errors import InputError
from .text import longest_form

MAX_TASK_CHARACTERS = 20_000  # some 5,000 tokens: a task, not a document
TIMEOUT = 60.0  # seconds: a person waits no longer, and an LM on a processor needs some of them
EMBEDDER = "minilm-tuned"  # spec of the default: it comes with the package
PACKAGED = (EMBEDDER, "minilm")  # embedders whose weights are part of an installed package
LMFailurePolicy = Literal["degrade", "raise"]


def check_task(task: str, what: str = "the task") -> None:
    """Refuse a task that nobody could delegate.

    Args:
        task: in plain words.
        what: it is, for messages.

    Raises:
        InputError: the task is no text, empty or longer than ``MAX_TASK_CHARACTERS``, as it is
            given or in compatibility form (NFKC), where one character may stand for eighteen.
    """
    if not isinstance(task, str):
        raise InputError(f"{what} must be a text, not {type(task).__name__}")
    if not task.strip():
        raise InputError(f"{what} is empty: say what should be done")
    _check_length(task, what)


def check_history(history: Iterable[str]) -> None:
    """Refuse earlier tasks of which one is too long; an empty one says nothing.

    Raises:
        InputError: which, from 1, and how long it is.
    """
    for number, task in enumerate(history, 1):
        _check_length(task, f"history: earlier task {number}")


def _check_length(task: str, what: str) -> None:
    if len(task) > MAX_TASK_CHARACTERS:
        raise InputError(
            f"{what} has {len(task):,} characters: shorten it to {MAX_TASK_CHARACTERS:,}"
        )
    if (read := longest_form(task)) > MAX_TASK_CHARACTERS:
        raise InputError(
            f"{what} has {read:,} characters where each ligature is written out: "
            f"shorten it to {MAX_TASK_CHARACTERS:,}"
        )


def check_policy(on_lm_failure: str, timeout: float | None) -> None:
    """Refuse what the program cannot do when the LM fails or takes too long.

    Raises:
        ValueError: no such policy, or the time-out is no positive number of seconds.
    """
    if on_lm_failure not in get_args(LMFailurePolicy):
        policies = " or ".join(get_args(LMFailurePolicy))
        raise ValueError(f"on_lm_failure is {policies}, not {on_lm_failure!r}")
    if timeout is not None and not 0 < timeout < math.inf:
        raise ValueError(f"timeout is a positive number of seconds or None, not {timeout!r}")


def read_timeout(text: str) -> float | None:
    """Return the positive number of seconds that a text says, None for ``none``.

    Raises:
        ValueError: it says neither.
    """
    if text == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ValueError(f"{text!r} is not a positive number of seconds, or none")
    return number


def check_lm_share(share: float | None) -> None:
    """Refuse what is no share of the tasks.

    Raises:
        ValueError: it is no number from 0 to 1, and not None.
    """
    number = isinstance(share, int | float) and not isinstance(share, bool)
    if share is not None and not (number and 0 <= share <= 1):
        raise ValueError(f"max_lm_share is a number from 0 to 1 or None, not {share!r}")


def check_portable(lms: Iterable[object]) -> None:
    """Refuse to write LM objects into a pickle: it would hold their keys.

    Args:
        lms: specs, objects, or None.

    Raises:
        TypeError: one is an object.
    """
    if any(lm is not None and not isinstance(lm, str) for lm in lms):
        raise TypeError(
            "a program that holds an LM object is not pickled, as its key would be: name the "
            "LM by its spec, or give it where the program is used (dspy.configure)"
        )
