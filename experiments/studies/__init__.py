"""One question a file: ``run(quick)`` measures, ``table(rows)`` and ``answer(rows)`` show.

The first line of a study's docstring is its question, the rest its setting. A file that is put
here is found: nothing else lists the studies.
"""

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, cast

Rows = Sequence[dict[str, Any]]


class Study(Protocol):
    """A module of this package."""

    __doc__: str | None

    def run(self, quick: bool) -> list[dict[str, Any]]:
        """Return the rows of the result; quick: small, on no test data, not to be kept.

        A study whose question holds for any LM also takes ``lm``, the spec of another one.
        """
        ...

    def table(self, rows: Rows) -> str:
        """Return the rows as markdown tables."""
        ...

    def answer(self, rows: Rows) -> str:
        """Return what the rows say to the question, in at most 15 words."""
        ...


def names() -> list[str]:
    """Return the names of all studies, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def study(name: str) -> Study:
    """Return a study by name."""
    return cast("Study", import_module(f"{__name__}.{name}"))


def question(name: str) -> tuple[str, str]:
    """Return a study's question, and its setting as paragraphs."""
    first, _, rest = (study(name).__doc__ or "").strip().partition("\n")
    return first, rest.strip()
