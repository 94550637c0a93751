"""What each person last said of a task: of several answers of one person the last counts."""

from collections.abc import Iterable
from datetime import UTC, datetime

from task_delegator.feedback import Feedback
from task_delegator.text import fold

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def last_answers(rows: Iterable[Feedback]) -> dict[str, list[Feedback]]:
    """Return the last answer of each person to each task, by the task, folded for comparison.

    The last by time, of one time the last given: rows of files and of MLflow stand side by side,
    in any order. All rows of a task without a name are taken to be of one person.

    Returns:
        The tasks in the order in which they come first, the answers of each by time.
    """
    given: dict[str, list[Feedback]] = {}
    for row in rows:
        given.setdefault(fold(row.task), []).append(row)
    return {task: _last_of_each(answers) for task, answers in given.items()}


def _last_of_each(answers: Iterable[Feedback]) -> list[Feedback]:
    found: dict[str, Feedback] = {}
    for row in sorted(answers, key=_time):
        found.pop(row.source, None)
        found[row.source] = row
    return list(found.values())


def agreed(answers: Iterable[Feedback]) -> bool:
    """Tell whether all persons say that the same agent is right, or that nobody is."""
    return len({row.correct_agent for row in answers}) == 1


def _time(row: Feedback) -> datetime:
    """Return when something was said; what has no time was said first."""
    try:
        found = datetime.fromisoformat(row.time)
    except ValueError:
        return _LONG_AGO
    return found if found.tzinfo else found.replace(tzinfo=UTC)
