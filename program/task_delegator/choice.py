"""What a caller may wish for beside a task: whom not to name, whom to consider, earlier tasks."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from .delegation import TOP
from .settings import check_history, check_task

_NAMES = 1_000  # that one call may exclude or include


class PlanWishes(TypedDict, total=False):
    """Wishes of one call; permissions go before all of them.

    Attributes:
        exclude: names of agents that are not to be named, such as those that were tried.
        include: names of agents that are always on the shortlist, however little they fit.
            Names that the caller may not use, or that nobody has, change nothing.
    """

    exclude: Collection[str] | None
    include: Collection[str] | None


class Wishes(PlanWishes, total=False):
    """Wishes of one task.

    Attributes:
        history: earlier tasks of the same conversation, oldest first. They are read where the
            task refers to them.
        k: how many agents ``ranking`` names at most; 3 where it is not given.
    """

    history: Sequence[str] | None
    k: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Wishes that were checked, each in one form.

    Raises:
        InputError: an earlier task is too long.
        TypeError: names or history are one text, or no texts.
        ValueError: there are too many names, or k is no positive integer.
    """

    exclude: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()
    history: tuple[str, ...] = ()
    k: int = TOP

    @classmethod
    def of(
        cls,
        exclude: Collection[str] | None = None,
        include: Collection[str] | None = None,
        history: Sequence[str] | None = None,
        k: int = TOP,
        **others: Any,
    ) -> "Choice":
        """Return the wishes of a call, checked; None is no wish, as for ``permissions``."""
        if others:
            known = ", ".join(Wishes.__annotations__)
            raise TypeError(f"a delegation takes no {' and no '.join(sorted(others))}: {known}")
        exclude = () if exclude is None else exclude
        include = () if include is None else include
        history = () if history is None else history
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ValueError(f"k is how many agents are named, 1 or more, not {k!r:.80}")
        names = {"exclude": exclude, "include": include}
        for name, given in (*names.items(), ("history", history)):
            if isinstance(given, str | bytes) or not all(isinstance(one, str) for one in given):
                raise TypeError(f"{name} must be a collection of texts, not {given!r:.80}")
        for name, given in names.items():
            if len(given) > _NAMES:
                raise ValueError(f"{name} has {len(given):,} names: give at most {_NAMES:,}")
        check_history(history)
        return cls(frozenset(exclude), frozenset(include), tuple(history), k)

    def excluded(self, names: Iterable[str]) -> list[int]:
        """Return the places of names that are not to be named."""
        return _places(names, self.exclude)

    def included(self, names: Iterable[str]) -> list[int]:
        """Return the places of names that are to be considered."""
        known = list(names) if self.include else []
        out = set(self.excluded(known))
        return [place for place in _places(known, self.include) if place not in out]


def _places(names: Iterable[str], wanted: frozenset[str]) -> list[int]:
    """Return the places of some names, in any case: a registry has none that differ in it alone."""
    folded = {name.casefold() for name in wanted}
    return [i for i, name in enumerate(names) if name.casefold() in folded] if wanted else []


def checked(task: str, wishes: Wishes) -> Choice:
    """Return the wishes for a task, once both are checked, which may take a tenth of a second.

    Raises:
        InputError: the task is empty, or it or an earlier one is too long.
        TypeError, ValueError: as for ``Choice``.
    """
    check_task(task)
    return Choice.of(**wishes)


ANY = Choice()
